// What a job does: tests/peers/README.md.
import { openSync, writeSync } from "node:fs";

const journal = openSync(process.env.PEER_JOURNAL, "a");
const provider = process.env.PEER_PROVIDER;

export function now() {
  return process.hrtime.bigint();
}

export async function run(job, enqueued) {
  if (provider) await call(job);
  writeSync(journal, `${job} ${enqueued} ${now()}\n`);
}

async function call(job) {
  const answer = await fetch(provider, {
    method: "POST",
    headers: { authorization: "Bearer key", "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-5-mini", messages: [{ role: "user", content: `Question ${job}` }] }),
  });
  if (!answer.ok) throw new Error(`the provider answers ${answer.status}`);
  await answer.text();
}

// Calls `enqueue` for 0 to `count` - 1: in chunks, or one by one at this rate.
export async function produce(enqueueAll, enqueue) {
  const [count, perSecond] = process.argv.slice(2).map(Number);
  if (!perSecond) {
    for (let first = 0; first < count; first += 1000) {
      await enqueueAll(Array.from({ length: Math.min(1000, count - first) }, (_, at) => first + at));
    }
    return;
  }
  const began = now();
  const pending = [];
  for (let job = 0; job < count; job += 1) {
    const due = Number(began + BigInt(Math.round((job * 1e9) / perSecond)) - now()) / 1e6;
    if (due > 0) await new Promise((wake) => setTimeout(wake, due));
    pending.push(enqueue(job));
  }
  await Promise.all(pending);
}
