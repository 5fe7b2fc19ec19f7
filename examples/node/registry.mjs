// The names and numbers that both sides of the wire must know, read from where they are defined.

import { readFileSync } from "node:fs";

/** Returns a JSON document of `contracts/`. */
export function contract(path) {
  return JSON.parse(readFileSync(new URL(`../../contracts/${path}`, import.meta.url), "utf8"));
}

const byName = (list, value) => Object.fromEntries(list.map((each) => [each.name, each[value]]));

export const LIMITS = byName(contract("registry/limits.json").limits, "value");
export const EXITS = byName(contract("registry/errors.json").exits, "status");

const amqp = contract("registry/amqp.json");

export const HEADERS = byName(amqp.headers, "header");
export const TYPES = amqp.types;
export const CONTENT_TYPE = amqp.content_type;
export const RESULT_MODES = amqp.result_modes;

/** Each grammar holds for the whole text. */
export const GRAMMARS = Object.fromEntries(
  Object.entries(amqp.grammars).map(([name, pattern]) => [name, new RegExp(`^(?:${pattern})$`)]),
);
