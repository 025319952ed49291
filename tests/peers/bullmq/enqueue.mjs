import { Queue } from "bullmq";
import { now, produce } from "./job.mjs";

const queue = new Queue("bench", { connection: { url: process.env.REDIS_URL } });
const opts = { removeOnComplete: true, attempts: 3 };
const data = (job) => ({ job, enqueued: now().toString() });

await produce(
  (jobs) => queue.addBulk(jobs.map((job) => ({ name: "job", data: data(job), opts }))),
  (job) => queue.add("job", data(job), opts),
);
await queue.close();
