// Reads {document, values} from standard input and says what the official parser makes of the document, and which
// of the values a draft-07 validator takes: each is [the pointer of a schema in the document, the value].

import { readFileSync } from "node:fs";

import { Parser } from "@asyncapi/parser";
import { Ajv } from "ajv";

const { document: text, values } = JSON.parse(readFileSync(0, "utf8"));
const { document, diagnostics } = await new Parser().parse(text);

const ajv = new Ajv({ strict: false, validateFormats: false });
ajv.addSchema(JSON.parse(text), "document");
const valid = values.map(([pointer, value]) => ajv.validate({ $ref: `document#${pointer}` }, value));

console.log(
  JSON.stringify({
    diagnostics: diagnostics.map(({ code, message, path, severity }) => ({ code, message, path: path.join("."), severity })),
    operations: document?.operations().all().map((operation) => operation.id()) ?? [],
    replies: document?.operations().all().filter((operation) => operation.reply()?.messages().length > 0).length ?? 0,
    valid,
  }),
);
