import { Worker } from "bullmq";
import { run } from "./job.mjs";

const worker = new Worker("bench", ({ data }) => run(data.job, data.enqueued), {
  connection: { url: process.env.REDIS_URL },
  concurrency: Number(process.env.PEER_CONCURRENCY),
});
worker.on("error", (error) => console.error(error));
worker.on("failed", (_, error) => console.error(error));
process.on("SIGTERM", () => worker.close().then(() => process.exit(0)));
