//! Jobs that flow while the primary moves.

use std::time::Duration;

use longshore_broker::Broker;
use longshore_protocol::id::{JobId, Namespace, QueueName};
use longshore_tests::stack::{Options, Process, Stack, within};
use secrecy::SecretString;

use super::server::Server;

/// How long jobs may take to end, with a failover in between.
const LIMIT: Duration = Duration::from_secs(90);

/// A stack whose programs and `broker` reach Redis at `url`.
pub(super) struct Load {
    pub(super) stack: Stack,
    pub(super) broker: Broker,
    jobs: Vec<JobId>,
    _programs: Vec<Process>,
}

impl Load {
    /// Starts two workers and a scheduler. The broker of the test uses the URL alone.
    pub(super) async fn start(env: &[(&str, &str)], broker: Broker) -> Self {
        let mut stack = Stack::start(Options::with_latency(Duration::from_millis(100)))
            .await
            .unwrap();
        for (name, value) in env {
            stack.set_env(name, value);
        }
        let programs = vec![
            stack.worker().unwrap(),
            stack.worker().unwrap(),
            stack.scheduler().unwrap(),
        ];
        Self {
            stack,
            broker,
            jobs: Vec::new(),
            _programs: programs,
        }
    }

    /// Enqueues jobs on this primary, and waits until a replica has them: a failover loses no acknowledged write of
    /// these.
    pub(super) async fn enqueue_replicated(&mut self, primary: &Server, count: usize) {
        let mut connection = primary.connection().await.unwrap();
        for at in 0..count {
            let id = format!("replicated-{}-{at}", self.jobs.len());
            let job = format!(r#"{{"id":"{id}","prompt":"job {id}"}}"#);
            redis::cmd("XADD")
                .arg(self.broker.keys().queue(&QueueName::default()))
                .arg("*")
                .arg("job")
                .arg(job)
                .query_async::<()>(&mut connection)
                .await
                .unwrap();
            self.jobs.push(JobId::parse(&id).unwrap());
        }
        let copies: usize = redis::cmd("WAIT")
            .arg(1)
            .arg(5000)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert!(copies >= 1, "no replica has the jobs");
    }

    /// Enqueues jobs as a producer does that repeats until it succeeds.
    pub(super) async fn enqueue(&mut self, name: &str, count: usize) {
        for at in 0..count {
            let id = format!("{name}-{at}");
            let job = format!(r#"{{"id":"{id}","prompt":"job {id}"}}"#);
            within(LIMIT, "the job is enqueued", || async {
                let queue = QueueName::default();
                let jobs = std::slice::from_ref(&job);
                Ok(self.broker.queues().enqueue_all(&queue, jobs).await?)
            })
            .await
            .unwrap();
            self.jobs.push(JobId::parse(&id).unwrap());
        }
    }

    /// Waits until this many calls were made.
    pub(super) async fn calls(&self, count: u64) {
        within(LIMIT, "calls are made", || async {
            let made = self.stack.simulator.stats().requests;
            anyhow::ensure!(made >= count, "{made} calls");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Waits until all jobs ended, each with success and one row of the ledger, and nothing is left in Redis.
    pub(super) async fn all_end(&self) {
        within(LIMIT, "all jobs end", || async {
            let outcomes = self.broker.jobs().outcomes(&self.jobs).await?;
            let ended = outcomes.iter().flatten().count();
            anyhow::ensure!(
                ended == self.jobs.len(),
                "{ended} of {} ended",
                self.jobs.len()
            );
            let failed = outcomes.iter().flatten().find(|outcome| !outcome.success);
            anyhow::ensure!(failed.is_none(), "{failed:?}");
            Ok(())
        })
        .await
        .unwrap();
        within(LIMIT, "nothing is left", || async {
            let depth = self.broker.queues().depth(&QueueName::default()).await?;
            let left = depth.available + depth.running;
            anyhow::ensure!(left == 0, "{depth:?}");
            let facts = self.broker.events().unrecorded_count().await?;
            anyhow::ensure!(facts == 0, "{facts} facts");
            Ok(())
        })
        .await
        .unwrap();
        for job in &self.jobs {
            let recorded = self.stack.ledger.job(job).await.unwrap();
            assert!(recorded.is_some(), "{job} is not in the ledger");
        }
    }
}

/// A broker at this URL.
pub(super) async fn broker_at(url: &str) -> Broker {
    Broker::connect(&SecretString::from(url), &Namespace::default())
        .await
        .unwrap()
}
