//! The peers, and how each is started.

/// A job queue that Longshore is compared with.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its folder in tests/peers.
    pub(super) name: &'static str,
    /// Its name for people.
    pub(super) title: &'static str,
    /// The command that enqueues: `COUNT [PER_SECOND]` follows.
    pub(super) enqueue: &'static [&'static str],
    /// The command that runs jobs.
    pub(super) worker: &'static [&'static str],
    /// The workers for jobs that do nothing.
    pub(super) short: Workers,
    /// The workers for jobs that wait for a provider.
    pub(super) waiting: Workers,
    /// It fails with more jobs than this in the queue.
    pub(super) most_queued: Option<usize>,
}

/// How many processes, and how many jobs at once in each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workers {
    pub(super) processes: usize,
    pub(super) slots: usize,
}

impl Workers {
    const fn new(processes: usize, slots: usize) -> Self {
        Self { processes, slots }
    }
}

pub(super) const PEERS: [Peer; 7] = [
    Peer {
        name: "sidekiq",
        title: "Sidekiq",
        enqueue: &["ruby", "enqueue.rb"],
        worker: &["./worker.sh"],
        short: Workers::new(2, 10),
        // Its documents advise against more than 50 threads in a process.
        waiting: Workers::new(10, 50),
        most_queued: None,
    },
    Peer {
        name: "bullmq",
        title: "BullMQ",
        enqueue: &["node", "enqueue.mjs"],
        worker: &["node", "worker.mjs"],
        short: Workers::new(2, 100),
        waiting: Workers::new(2, 2_500),
        most_queued: None,
    },
    Peer {
        name: "graphile-worker",
        title: "graphile-worker",
        enqueue: &["node", "enqueue.mjs"],
        worker: &["node", "worker.mjs"],
        short: Workers::new(1, 24),
        waiting: Workers::new(1, 5_000),
        most_queued: None,
    },
    Peer {
        name: "celery",
        title: "Celery",
        enqueue: &[".venv/bin/python", "enqueue.py"],
        worker: &["./worker.sh"],
        // Two processes of its own pool.
        short: Workers::new(1, 2),
        waiting: Workers::new(2, 1_000),
        most_queued: None,
    },
    Peer {
        name: "taskiq",
        title: "taskiq",
        enqueue: &[".venv/bin/python", "enqueue.py"],
        worker: &["./worker.sh"],
        short: Workers::new(2, 100),
        waiting: Workers::new(2, 2_500),
        most_queued: None,
    },
    Peer {
        name: "rusty-sidekiq",
        title: "rusty-sidekiq",
        enqueue: &["./rusty-sidekiq", "enqueue"],
        worker: &["./rusty-sidekiq", "worker"],
        short: Workers::new(1, 100),
        waiting: Workers::new(1, 5_000),
        most_queued: None,
    },
    Peer {
        name: "apalis-redis",
        title: "apalis-redis",
        enqueue: &["./apalis-redis", "enqueue"],
        worker: &["./apalis-redis", "worker"],
        short: Workers::new(1, 1_000),
        waiting: Workers::new(1, 5_000),
        // With 8,000 due jobs its script fails ("too many results to unpack"), and with it each worker.
        most_queued: Some(7_500),
    },
];
