// Every golden vector of the profile and of the envelope: node --test

import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeJob, decodeResult, encodeJob, encodeResult } from "./envelope.mjs";
import { decode, encode, Timestamp } from "./profile.mjs";
import { contract } from "./registry.mjs";

const SUITES = {
  "profile/valid": [decode, encode],
  "profile/invalid": [decode],
  "envelope/job_valid": [decodeJob, encodeJob],
  "envelope/job_invalid": [decodeJob],
  "envelope/result_valid": [decodeResult, encodeResult],
  "envelope/result_invalid": [decodeResult],
};

for (const [file, [read, write]] of Object.entries(SUITES)) {
  test(file, async (suite) => {
    const { vectors } = contract(`vectors/${file}.json`);
    assert.ok(vectors.length > 10, "the file is there, and full");
    for (const vector of vectors) await suite.test(vector.name, () => check(vector, read, write));
  });
}

function check(vector, read, write) {
  const body = bytes(vector.hex);
  if (vector.expect !== "ok") {
    assert.throws(() => read(body), { name: "ProfileError", code: vector.expect });
    return;
  }
  const value = untag(vector.value);
  same(read(body), value);
  const written = write(value);
  assert.equal(written.equals(body), vector.canonical, `written as ${written.toString("hex").slice(0, 200)}`);
  same(read(written), value);
}

/** Compares without the prototypes, which maps lack on one side only; -0 and 0 differ, and NaN equals itself. */
function same(found, wanted) {
  if (wanted === null || typeof wanted !== "object" || wanted instanceof Uint8Array) {
    assert.deepStrictEqual(found instanceof Uint8Array ? Buffer.from(found) : found, wanted);
    return;
  }
  assert.equal(Array.isArray(found), Array.isArray(wanted));
  assert.equal(found instanceof Timestamp, wanted instanceof Timestamp);
  assert.deepEqual(Object.keys(found).sort(), Object.keys(wanted).sort());
  for (const key of Object.keys(wanted)) same(found[key], wanted[key]);
}

/** Returns the bytes that a `hex` field stands for. */
function bytes(hex) {
  return Buffer.concat([hex].flat().map(part));
}

function part(piece) {
  if (typeof piece === "string") return Buffer.from(piece, "hex");
  if (piece.repeat) return Buffer.concat(Array(piece.repeat[1]).fill(Buffer.from(piece.repeat[0], "hex")));
  const [count, value] = piece.keys;
  return Buffer.concat(keys(count).flatMap((key) => [Buffer.from(`\xa5${key}`, "latin1"), Buffer.from(value, "hex")]));
}

const keys = (count) => Array.from({ length: count }, (_, i) => i.toString(16).padStart(5, "0"));

/** Returns the value that a `value` field stands for. */
function untag(json) {
  if (typeof json === "number") return BigInt(json);
  if (json === null || typeof json !== "object") return json;
  if (Array.isArray(json)) return json.map(untag);
  const [tag, content] = Object.entries(json)[0] ?? [];
  switch (tag) {
    case "$int": return BigInt(content);
    case "$f64": return Buffer.from(content, "hex").readDoubleBE();
    case "$bin": return bytes(content);
    case "$str": return bytes(content).toString();
    case "$ts": return new Timestamp(content[0], content[1]);
    case "$repeat": return Array(content[1]).fill(untag(content[0]));
    case "$keys": return Object.fromEntries(keys(content[0]).map((key) => [key, untag(content[1])]));
  }
  return Object.fromEntries(Object.entries(json).map(([key, each]) => [key, untag(each)]));
}
