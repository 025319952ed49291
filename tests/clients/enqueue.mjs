// Enqueue one job in the JSON form, wait for its outcome, print both.
//
//     node enqueue.mjs [PROMPT]
//
// Reads REDIS_URL and LONGSHORE_NAMESPACE (default: longshore). The last line is the outcome as JSON. Exit code
// 0 when the job succeeded, else 1.

import {createClient} from "redis";

const namespace = `{${process.env.LONGSHORE_NAMESPACE ?? "longshore"}}`;
const prompt = process.argv[2] ?? "Name three primary colours.";
if (!process.env.REDIS_URL) throw new Error("REDIS_URL is not set");

const server = createClient({url: process.env.REDIS_URL});
server.on("error", (error) => console.error(`redis: ${error.message}`));
await server.connect();

const job = {type: "research", prompt, reply: true};
const id = await server.xAdd(`${namespace}:queue:default`, "*", {job: JSON.stringify(job)});
console.log(`receipt ${id}`);

const reply = await server.blPop(`${namespace}:reply:${id}`, 30);
if (reply === null) {
    console.error(`no outcome of ${id} within 30 s`);
    process.exitCode = 1;
} else {
    console.log(reply.element);
    process.exitCode = JSON.parse(reply.element).success ? 0 : 1;
}
server.destroy();
