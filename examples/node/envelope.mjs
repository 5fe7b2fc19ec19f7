// The envelope (PROFILE.md, section 2): what the body of a job and of a result holds, by contracts/envelope/v1.json.

import { gunzipSync, inflateRawSync } from "node:zlib";

import { decode, encode, ProfileError } from "./profile.mjs";
import { contract, GRAMMARS, LIMITS } from "./registry.mjs";

const SCHEMA = contract("envelope/v1.json").$defs;
const VERSION = 1n;

const wrong = (what) => new ProfileError("BAD_ENVELOPE", what);

/** Returns the body of a job: `fields` are those of the table, `v` and `kind` apart. */
export function encodeJob(fields) {
  return encodeEnvelope("job", fields);
}

/** Returns the body of a result, which only workers need. */
export function encodeResult(fields) {
  return encodeEnvelope("result", fields);
}

/** Returns the known fields of a job. Throws a ProfileError when the body is none. */
export function decodeJob(body, maxBytes) {
  return decodeEnvelope("job", body, maxBytes);
}

/** Returns the known fields of a result. Throws a ProfileError when the body is none. */
export function decodeResult(body, maxBytes) {
  return decodeEnvelope("result", body, maxBytes);
}

function encodeEnvelope(kind, fields) {
  const body = encode(struct(SCHEMA[kind], { ...fields, v: VERSION, kind }));
  decodeEnvelope(kind, body); // what no reader would accept is not sent
  return body;
}

/** Puts fields into the order of their definition. */
function struct(schema, fields) {
  const entries = Object.entries(schema.properties).map(([name, property]) => {
    const value = fields[name];
    return [name, property.$ref && value !== undefined ? struct(SCHEMA.error, value) : value];
  });
  return new Map(entries.filter(([name, value]) => !isEmptyNote(name, value)));
}

function decodeEnvelope(kind, body, maxBytes) {
  const fields = decode(inflated(body, maxBytes), maxBytes);
  if (kindOf(fields) !== "object") throw wrong("the body is not a map");
  if (kindOf(fields.v) !== "integer") throw wrong("v is not an integer");
  if (fields.v !== VERSION) throw new ProfileError("UNSUPPORTED_ENVELOPE", `v is ${fields.v}`);
  if (fields.kind !== kind) throw wrong(`kind is not ${kind}`);
  const [needed, ignored] = { ok: ["result", "error"], error: ["error", "result"] }[fields.status] ?? [];
  if (needed && !(needed in fields)) throw wrong(`${needed} is missing`);
  if (ignored) delete fields[ignored];
  const read = known(SCHEMA[kind], fields, kind);
  if (read.status === "error") delete read.items;
  return read;
}

const GZIP_HEADER = 10;
const GZIP_TRAILER = 8;

/** Returns what a compressed body stands for: one gzip member without optional fields. */
function inflated(body, maxBytes = LIMITS.MAX_BODY_BYTES) {
  if (body[0] !== 0x1f || body[1] !== 0x8b) return body;
  if (body[3] !== 0) throw wrong("the gzip body has optional fields");
  try {
    // By itself gunzip goes on with a second member, and passes over what is none.
    const { engine } = inflateRawSync(body.subarray(GZIP_HEADER), { info: true, maxOutputLength: maxBytes });
    if (engine.bytesWritten !== body.length - GZIP_HEADER - GZIP_TRAILER) throw wrong("the gzip body has another end");
    return gunzipSync(body);
  } catch (error) {
    if (error.code === "ERR_BUFFER_TOO_LARGE") throw new ProfileError("TOO_LARGE", `P1: inflates to more than ${maxBytes}`);
    throw error instanceof ProfileError ? error : wrong(`the gzip body is broken: ${error.message}`);
  }
}

/** Returns the fields that the schema knows, each of them checked. */
function known(schema, fields, path) {
  for (const name of schema.required) if (!(name in fields)) throw wrong(`${path}.${name} is missing`);
  const found = {};
  for (const [name, property] of Object.entries(schema.properties)) {
    if (!(name in fields)) continue;
    const value = check(property, fields[name], `${path}.${name}`);
    if (!isEmptyNote(name, value)) found[name] = value;
  }
  return found;
}

function check(property, value, path) {
  if (property.$ref) {
    if (kindOf(value) !== "object") throw wrong(`${path} is not a map`);
    return known(SCHEMA.error, value, path);
  }
  const fits =
    (!property.type || [property.type].flat().includes(kindOf(value))) &&
    (!property.enum || property.enum.includes(value)) &&
    (property.minimum === undefined || value >= property.minimum) &&
    (property.maximum === undefined || value <= property.maximum) &&
    (!property["x-grammar"] || GRAMMARS[property["x-grammar"]].test(value)) &&
    // MAX_ERROR_MESSAGE_BYTES binds writers only.
    (property["x-max-bytes"] !== "MAX_TASK_BYTES" || Buffer.byteLength(value) <= LIMITS.MAX_TASK_BYTES);
  if (!fits) throw wrong(`${path} is not as the schema says`);
  if (property.additionalProperties) {
    for (const [key, each] of Object.entries(value)) check(property.additionalProperties, each, `${path}.${key}`);
  }
  return value;
}

/** Returns the kind of a decoded value in the words of JSON Schema. */
function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "object") return Object.getPrototypeOf(value) === null ? "object" : "other";
  return { bigint: "integer", number: "number", string: "string", boolean: "boolean" }[typeof value] ?? "other";
}

/** An empty `meta` or `details` equals an absent one. */
function isEmptyNote(name, value) {
  return (name === "meta" || name === "details") && value !== undefined && Object.keys(value).length === 0;
}
