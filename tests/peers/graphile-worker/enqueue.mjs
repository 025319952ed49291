import { makeWorkerUtils } from "graphile-worker";
import { now, produce } from "./job.mjs";

const utils = await makeWorkerUtils({ connectionString: process.env.DATABASE_URL });
await utils.migrate();
const payload = (job) => ({ job, enqueued: now().toString() });

await produce(
  (jobs) => utils.addJobs(jobs.map((job) => ({ identifier: "job", payload: payload(job) }))),
  (job) => utils.addJob("job", payload(job)),
);
await utils.release();
