// Calls a task and prints its result: node call.mjs TASK [ARGS] [SECONDS]
//
// ARGS is a JSON object; a whole number in it becomes an integer. The value goes to standard output as JSON, an
// error with its code to standard error; how the program ends is one of the exits of registry/errors.json.
// The broker is PENSTOCK_AMQP_URL; PENSTOCK_NAMESPACE says with what its names begin, if not with "penstock".

import { Client, NotAccepted, RemoteError, Unknown } from "./client.mjs";
import { ProfileError, Timestamp } from "./profile.mjs";
import { EXITS, GRAMMARS } from "./registry.mjs";

async function main([task, args = "{}", seconds = "30"]) {
  const url = process.env.PENSTOCK_AMQP_URL;
  if (!url || !GRAMMARS.TASK.test(task) || !(Number(seconds) > 0)) {
    console.error("usage: PENSTOCK_AMQP_URL=amqp://... node call.mjs TASK [ARGS] [SECONDS]");
    return EXITS.USAGE;
  }
  let client;
  try {
    const values = JSON.parse(args, (_, value) => (Number.isSafeInteger(value) ? BigInt(value) : value));
    client = await Client.open(url, { namespace: process.env.PENSTOCK_NAMESPACE });
    const job = client.job(task, values, { timeout: Number(seconds) * 1000 });
    await client.enqueue(job);
    console.log(JSON.stringify(await client.result(job), toJSON));
    return EXITS.OK;
  } catch (error) {
    console.error(`${error.code ?? error.name}: ${error.message}`);
    return exit(error);
  } finally {
    await client?.close();
  }
}

function exit(error) {
  if (error instanceof SyntaxError || error instanceof ProfileError) return EXITS.DATA;
  if (error instanceof RemoteError) return EXITS.REMOTE;
  if (error instanceof NotAccepted && error.code === "UNROUTABLE") return EXITS.UNROUTABLE;
  if (error instanceof NotAccepted || error instanceof Unknown) return EXITS.TEMPFAIL; // later it may go well
  return EXITS.UNAVAILABLE;
}

/** What JSON cannot say is shown as text: integers beyond 2^53 in digits, bytes in base 64. */
function toJSON(_, value) {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Timestamp) return new Date(value.seconds * 1000 + value.nanoseconds / 1e6).toISOString();
  return value;
}

process.exitCode = await main(process.argv.slice(2));
