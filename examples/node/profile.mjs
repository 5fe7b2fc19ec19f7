// The msgpack profile (PROFILE.md, section 1): which bytes are a body, and the one encoding that each value has.
//
// Every kind has a JavaScript type of its own, so that no value changes its kind on the way: an integer is a
// `bigint` and a `number` is a float, also when it is whole. A bin is a Uint8Array, a timestamp a `Timestamp`. A
// map is an object without a prototype, in which `__proto__` is a key like any other.
//
// The library writes and reads what has no parts. Arrays and maps are walked here, because the rules are about
// them: a reader has to see each count before it believes it, and a writer has to see the keys as bytes.

import { decodeTimestampToTimeSpec, encode as pack, encodeTimeSpecToTimestamp, ExtData } from "@msgpack/msgpack";

import { LIMITS } from "./registry.mjs";

const MAX_INT = 2n ** 63n - 1n;
const MIN_INT = -(2n ** 63n);
const TIMESTAMP = -1;
const TIMESTAMP_BYTES = [4, 8, 12];
const FIRST_SECOND = -62135596800; // 0001-01-01
const LAST_SECOND = 253402300799; // 9999-12-31

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes that are no body, or a value that none can carry. `code` is one of registry/errors.json. */
export class ProfileError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "ProfileError";
    this.code = code;
  }
}

const broken = (rule, what) => new ProfileError("BAD_ENVELOPE", `${rule}: ${what}`);

/** Seconds since 1970, which may be negative, and nanoseconds, which may not. */
export class Timestamp {
  constructor(seconds, nanoseconds = 0) {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
  }
}

/** Returns the value of a body. Throws a ProfileError when the bytes break a rule. */
export function decode(body, maxBytes = LIMITS.MAX_BODY_BYTES) {
  if (body.length > maxBytes) throw new ProfileError("TOO_LARGE", `P1: ${body.length} bytes, at most ${maxBytes}`);
  const reader = new Reader(body);
  const value = reader.value(1);
  if (reader.at !== body.length) throw broken("P2", "a byte follows the value");
  return value;
}

class Reader {
  constructor(body) {
    this.body = body;
    this.view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.at = 0;
    this.nodes = 0;
  }

  /** Steps over n bytes, which have to be there; returns where they begin. */
  take(n) {
    const at = this.at;
    if (n > this.body.length - at) throw broken("P2", "the body ends before the value does");
    this.at += n;
    return at;
  }

  bytes(n) {
    const at = this.take(n);
    return this.body.subarray(at, at + n);
  }

  /** Reads a length or count of 1, 2 or 4 bytes. */
  length(width) {
    const at = this.take(width);
    return width === 1 ? this.view.getUint8(at) : width === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  value(level) {
    if (++this.nodes > LIMITS.MAX_NODES) throw broken("P4", `more than ${LIMITS.MAX_NODES} values`);
    const format = this.length(1);
    if (format <= 0x7f) return BigInt(format);
    if (format <= 0x8f) return this.map(format & 0x0f, level);
    if (format <= 0x9f) return this.array(format & 0x0f, level);
    if (format <= 0xbf) return this.str(format & 0x1f);
    if (format >= 0xe0) return BigInt(format - 0x100);
    switch (format) {
      case 0xc0: return null;
      case 0xc1: throw broken("P9", "c1 is no format");
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.bytes(this.length(1));
      case 0xc5: return this.bytes(this.length(2));
      case 0xc6: return this.bytes(this.length(4));
      case 0xc7: return this.timestamp(this.length(1));
      case 0xc8: return this.timestamp(this.length(2));
      case 0xc9: return this.timestamp(this.length(4));
      case 0xca: return this.view.getFloat32(this.take(4));
      case 0xcb: return this.view.getFloat64(this.take(8));
      case 0xcc: return BigInt(this.length(1));
      case 0xcd: return BigInt(this.length(2));
      case 0xce: return BigInt(this.length(4));
      case 0xcf: return inRange(this.view.getBigUint64(this.take(8)));
      case 0xd0: return BigInt(this.view.getInt8(this.take(1)));
      case 0xd1: return BigInt(this.view.getInt16(this.take(2)));
      case 0xd2: return BigInt(this.view.getInt32(this.take(4)));
      case 0xd3: return this.view.getBigInt64(this.take(8));
      case 0xd9: return this.str(this.length(1));
      case 0xda: return this.str(this.length(2));
      case 0xdb: return this.str(this.length(4));
      case 0xdc: return this.array(this.length(2), level);
      case 0xdd: return this.array(this.length(4), level);
      case 0xde: return this.map(this.length(2), level);
      case 0xdf: return this.map(this.length(4), level);
      default: return this.timestamp(2 ** (format - 0xd4)); // fixext 1, 2, 4, 8, 16
    }
  }

  str(n) {
    try {
      return utf8.decode(this.bytes(n));
    } catch (error) {
      throw error instanceof ProfileError ? error : broken("P6", "a str is not UTF-8");
    }
  }

  timestamp(n) {
    const [type] = new Int8Array(this.bytes(1));
    const data = this.bytes(n);
    if (type !== TIMESTAMP || !TIMESTAMP_BYTES.includes(n)) throw broken("P8", `extension ${type} of ${n} bytes`);
    const { sec, nsec } = decodeTimestampToTimeSpec(data);
    return checked(new Timestamp(sec, nsec));
  }

  array(count, level) {
    this.enter(count, level);
    const values = [];
    for (let i = 0; i < count; i++) values.push(this.value(level + 1));
    return values;
  }

  map(count, level) {
    this.enter(2 * count, level);
    const values = Object.create(null);
    for (let i = 0; i < count; i++) {
      const key = this.value(level + 1);
      if (typeof key !== "string") throw broken("P5", "a key is not a str");
      if (key in values) throw broken("P5", `the key ${JSON.stringify(key)} occurs twice`);
      values[key] = this.value(level + 1);
    }
    return values;
  }

  /** Refuses an array or map before anything of it is read: each part takes a byte at least. */
  enter(parts, level) {
    if (level > LIMITS.MAX_DEPTH) throw broken("P3", `deeper than ${LIMITS.MAX_DEPTH} levels`);
    if (parts > this.body.length - this.at) throw broken("P2", "a count is larger than what remains");
  }
}

/**
 * Returns the canonical encoding. The keys of an object are sorted; a `Map` is a struct, written in its own order
 * and without what is undefined. Throws a ProfileError when the value breaks a rule.
 */
export function encode(value, maxBytes = LIMITS.MAX_BODY_BYTES) {
  const parts = [];
  write(parts, value, 1);
  const body = Buffer.concat(parts);
  decode(body, maxBytes); // The rules stand in one place: what breaks one in reading must not be written.
  return body;
}

function write(parts, value, level) {
  if (level > LIMITS.MAX_DEPTH + 1) throw broken("P3", `deeper than ${LIMITS.MAX_DEPTH} levels`); // or a cycle
  if (Array.isArray(value)) {
    parts.push(header(value.length, 0x90, 0xdc));
    for (const each of value) write(parts, each, level + 1);
  } else if (value instanceof Map || isPlain(value)) {
    const entries = value instanceof Map ? [...value].filter(([, each]) => each !== undefined) : sorted(value);
    parts.push(header(entries.length, 0x80, 0xde));
    for (const [key, each] of entries) {
      write(parts, key, level + 1);
      write(parts, each, level + 1);
    }
  } else {
    parts.push(pack(leaf(value), { forceIntegerToFloat: typeof value === "number", useBigInt64: true }));
  }
}

/** Returns what the library writes canonically in place of a value. */
function leaf(value) {
  switch (typeof value) {
    case "boolean":
      return value;
    case "number":
      return Number.isNaN(value) ? NaN : value; // any NaN becomes the one
    case "bigint": // the library writes each in 64 bits, and a number in as few as it can
      return fitsIn32(inRange(value)) ? Number(value) : value;
    case "string":
      if (!value.isWellFormed()) throw broken("P6", "a str has half a surrogate pair");
      return value;
  }
  if (value === null || value instanceof Uint8Array) return value;
  if (!(value instanceof Timestamp)) throw broken("kind", `no kind of the profile: ${typeof value}`);
  const { seconds, nanoseconds } = checked(value);
  return new ExtData(TIMESTAMP, encodeTimeSpecToTimestamp({ sec: seconds, nsec: nanoseconds }));
}

function header(count, fix, format16) {
  if (count <= 0x0f) return Uint8Array.of(fix | count);
  if (count <= 0xffff) return Uint8Array.of(format16, count >> 8, count & 0xff);
  return Uint8Array.of(format16 + 1, count >>> 24, (count >> 16) & 0xff, (count >> 8) & 0xff, count & 0xff);
}

function isPlain(value) {
  if (value === null || typeof value !== "object") return false;
  return [null, Object.prototype].includes(Object.getPrototypeOf(value));
}

/** By bytes: JavaScript would compare UTF-16, and keep keys like "10" apart from the others. */
function sorted(map) {
  return Object.entries(map).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

function inRange(integer) {
  if (integer < MIN_INT || integer > MAX_INT) throw broken("P7", `${integer} has more than 64 bits`);
  return integer;
}

function fitsIn32(integer) {
  return integer === BigInt.asIntN(32, integer) || integer === BigInt.asUintN(32, integer);
}

function checked(timestamp) {
  const { seconds, nanoseconds } = timestamp;
  const good =
    Number.isInteger(seconds) && seconds >= FIRST_SECOND && seconds <= LAST_SECOND &&
    Number.isInteger(nanoseconds) && nanoseconds >= 0 && nanoseconds <= 999_999_999;
  if (!good) throw broken("P8", `no timestamp of the years 1 to 9999: ${seconds} s, ${nanoseconds} ns`);
  return timestamp;
}
