// A producer (PROFILE.md, section 3): publishes jobs and awaits their results on a reply queue of its own.
//
// An enqueued job has three outcomes. Accepted: `enqueue` returns. Not accepted: it throws NotAccepted, and the job
// will not run. Unknown: it throws Unknown, and the job may run; enqueueing the same job again is safe.

import { randomBytes } from "node:crypto";

import amqp from "amqplib";

import { decodeResult, encodeJob } from "./envelope.mjs";
import { CONTENT_TYPE, GRAMMARS, HEADERS, RESULT_MODES, TYPES } from "./registry.mjs";

/** How long the broker has for its confirm. */
const CONFIRM_TIMEOUT_MS = 10_000;

/** How long after its deadline the result of a job may come: the worker answers EXPIRED then. */
const GRACE_MS = 1_000;

/** No queue takes the task (`code` UNROUTABLE), or the broker refused the job (REFUSED): it will not run. */
export class NotAccepted extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The connection was lost, or the time was up, before the broker or the worker answered: the job may run. */
export class Unknown extends Error {
  code = "UNKNOWN";
}

/** The job ended with an error; `code` is one of registry/errors.json or of the task's own. */
export class RemoteError extends Error {
  constructor({ code, message, retryable, details = {} }, attempt) {
    super(message);
    Object.assign(this, { code, retryable, details, attempt });
  }
}

export class Client {
  #connection;
  #channel;
  #user;
  #replyTo;
  #namespace;
  /** What became of the job, by its id: settled by the first reply, or by the loss of the connection. */
  #waiting = new Map();
  /** Ids of jobs that the broker sent back. It does so before it acks them. */
  #returned = new Set();

  /**
   * Connects, and makes the reply queue. Exchanges and work queues have to be there: workers or operators declare
   * them. The user's name is that of the URL and has to fit the grammar USER.
   */
  static async open(url, { namespace = "penstock", instance = randomBytes(8).toString("hex") } = {}) {
    const client = new Client();
    client.#user = decodeURIComponent(new URL(url).username) || "guest";
    if (!GRAMMARS.USER.test(client.#user)) throw new TypeError(`the user ${client.#user} cannot be part of a routing key`);
    client.#namespace = namespace;
    client.#replyTo = `${client.#user}.${instance}`;
    client.#connection = await amqp.connect(url, { timeout: 10_000, noDelay: true });
    client.#connection.on("error", () => {}); // "close" follows, and tells those who wait
    try {
      await client.#prepare();
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  }

  async #prepare() {
    const channel = await this.#connection.createConfirmChannel();
    this.#channel = channel;
    channel.on("error", () => {}); // likewise
    channel.on("close", () => this.#lose("the channel was closed"));
    channel.on("return", (message) => this.#returned.add(message.properties.messageId));
    const queue = `${this.#namespace}.reply.${this.#replyTo}`;
    await channel.assertQueue(queue, { exclusive: true, durable: false, arguments: { "x-queue-type": "classic" } });
    await channel.bindQueue(queue, `${this.#namespace}.replies`, this.#replyTo);
    await channel.consume(queue, (message) => this.#receive(message), { noAck: true, exclusive: true });
  }

  /** Returns a job that is not yet enqueued. `args` are values of profile.mjs; `timeout` is in milliseconds. */
  job(task, args, { version = 1n, timeout = 30_000 } = {}) {
    const now = Date.now();
    const id = uuid7(now);
    const deadline = BigInt(now + timeout);
    const body = encodeJob({ id, task, tv: version, args, created_at: BigInt(now), deadline });
    return { id, task, version, deadline, body, published: 0 };
  }

  /** Publishes a job; returns when the broker has accepted it. Throws NotAccepted or Unknown. */
  async enqueue(job) {
    const headers = {
      [HEADERS.RESULT_MODE]: RESULT_MODES.REPLY,
      [HEADERS.TASK_VERSION]: int64(job.version),
      [HEADERS.DEADLINE]: int64(job.deadline),
    };
    if (job.published > 0) headers[HEADERS.REPEAT] = int64(job.published);
    job.published++;
    this.#expect(job.id);
    try {
      await this.#publish(job, headers);
    } catch (error) {
      if (error instanceof NotAccepted) this.#waiting.delete(job.id);
      throw error;
    }
  }

  #publish(job, headers) {
    const properties = {
      mandatory: true,
      persistent: true,
      type: TYPES.JOB,
      contentType: CONTENT_TYPE,
      messageId: job.id,
      correlationId: job.id,
      userId: this.#user,
      replyTo: this.#replyTo,
      headers,
    };
    const confirmed = new Promise((accept, refuse) => {
      this.#channel.publish(`${this.#namespace}.jobs`, job.task, job.body, properties, (error) => {
        if (this.#returned.delete(job.id)) refuse(new NotAccepted("UNROUTABLE", `no queue takes ${job.task}`));
        else if (!error) accept();
        else if (error.message === "message nacked") refuse(new NotAccepted("REFUSED", "the broker refused the job"));
        else refuse(error);
      });
    });
    return within(CONFIRM_TIMEOUT_MS, confirmed, "the broker has not answered in time").catch((error) => {
      throw error instanceof NotAccepted ? error : new Unknown(`${job.id}: ${error.message}`, { cause: error });
    });
  }

  /** Returns the value of an enqueued job. Throws RemoteError, or Unknown when none came by its deadline. */
  async result(job) {
    try {
      const left = Math.max(0, Number(job.deadline) - Date.now()) + GRACE_MS;
      const result = await within(left, this.#expect(job.id).promise, "no result came in time");
      if (result.status === "error") throw new RemoteError(result.error, result.attempt);
      return result.result;
    } finally {
      this.#waiting.delete(job.id);
    }
  }

  #expect(id) {
    let entry = this.#waiting.get(id);
    if (!entry) {
      entry = {};
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      entry.promise.catch(() => {}); // nobody need wait for it
      this.#waiting.set(id, entry);
    }
    return entry;
  }

  #receive(message) {
    if (message === null) return this.#lose("the reply queue is gone");
    if (message.properties.type !== TYPES.RESULT) return; // for instance an answer to a command
    const id = message.properties.correlationId;
    const waiting = this.#waiting.get(id);
    if (!waiting) return; // nobody waits for it, or no longer
    try {
      const result = decodeResult(message.content);
      if (result.job_id !== id) throw new Error(`${id}: the reply is the result of ${result.job_id}`);
      waiting.resolve(result);
    } catch (error) {
      waiting.reject(error);
    }
  }

  #lose(why) {
    for (const { reject } of this.#waiting.values()) reject(new Unknown(why));
  }

  /** Closes the connection; who still waits is told so. */
  async close() {
    try {
      await this.#connection.close();
    } catch {
      // It is closed already.
    }
  }
}

/** Awaits a promise, but not for longer than so many milliseconds. */
async function within(ms, promise, otherwise) {
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Unknown(otherwise)), ms);
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** Left to itself, amqplib writes an integer in as few bits as will do; the text has 32 or 64. */
function int64(value) {
  return { "!": "int64", value: Number(value) };
}

/** Returns a UUIDv7 (RFC 9562, section 5.7): 48 bits of time, then chance. */
function uuid7(now) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
