import { Logger, run as start } from "graphile-worker";
import { run } from "./job.mjs";

const concurrentJobs = Number(process.env.PEER_CONCURRENCY);

// The settings of its own performance test, https://worker.graphile.org/docs/performance: jobs are fetched and completed
// in batches. No job needs a connection while it runs, so the pool is smaller than `concurrentJobs`.
const runner = await start({
  preset: {
    worker: {
      connectionString: process.env.DATABASE_URL,
      concurrentJobs,
      maxPoolSize: 25,
      localQueue: { size: Math.max(500, concurrentJobs + 1) },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger: new Logger(() => (level, message) => {
        if (level === "error" || level === "warning") console.error(message);
      }),
    },
  },
  taskList: { job: ({ job, enqueued }) => run(job, enqueued) },
});
await runner.promise;
