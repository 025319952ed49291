//! The plan of a run: what is sent and what breaks, in which order and after which pauses. One seed decides all of it.
//!
//! Faults and messages are dealt from decks that are shuffled again when they are empty, so that a short run has
//! most kinds of both. Each side has its own sequence of random numbers: a run with fewer kinds of faults sends the
//! same messages.

use std::{collections::VecDeque, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

/// Workers of a run.
pub(crate) const WORKERS: usize = 3;

/// Schedulers of a run.
pub(crate) const SCHEDULERS: usize = 2;

/// How far the clocks of workers and schedulers may be off, in seconds.
pub(super) const CLOCK_OFFSETS: [i64; 3] = [90, -90, 0];

macro_rules! kinds {
    ($(#[$doc:meta])* $Kind:ident { $($(#[$variant_doc:meta])* $Variant:ident = $name:literal * $weight:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $Kind {
            $($(#[$variant_doc])* $Variant,)+
        }

        impl $Kind {
            /// All kinds, each with how often it is in a deck.
            pub(crate) const DECK: &[(Self, usize)] = &[$((Self::$Variant, $weight),)+];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// What breaks.
    FaultKind {
        /// SIGKILL to a worker; another one starts in its place.
        WorkerKilled = "worker-killed" * 5;
        /// SIGTERM to a worker; another one starts at once.
        WorkerDrained = "worker-drained" * 2;
        /// SIGSTOP to a worker until others take it for dead, then SIGCONT.
        WorkerStalled = "worker-stalled" * 3;
        SchedulerKilled = "scheduler-killed" * 3;
        /// SIGSTOP to a scheduler beyond its lease, then SIGCONT.
        SchedulerStalled = "scheduler-stalled" * 2;
        /// SIGKILL to Redis, and a restart.
        RedisKilled = "redis-killed" * 4;
        /// SIGSTOP to Redis for 15 s, then SIGCONT.
        RedisStalled = "redis-stalled" * 1;
        /// Redis refuses writes that need more memory.
        RedisFull = "redis-full" * 2;
        /// SIGKILL to Redis, and a restart without the last second of its append-only file.
        RedisRolledBack = "redis-rolled-back" * 2;
        /// Postgres stops, and returns later.
        PostgresAway = "postgres-away" * 2;
        /// SCRIPT FLUSH.
        ScriptsFlushed = "scripts-flushed" * 3;
        /// CLIENT KILL of every connection to Redis.
        ConnectionsCut = "connections-cut" * 4;
        /// The clocks of workers and schedulers jump, those of Redis and of the provider do not.
        ClocksStepped = "clocks-stepped" * 2;
    }
}

kinds! {
    /// What is sent.
    MessageKind {
        /// A job of flat fields.
        Flat = "flat" * 4;
        /// A job as JSON.
        Json = "json" * 6;
        /// A job with an id of its own and a reply, sent twice.
        SentTwice = "sent-twice" * 3;
        /// Two jobs with one unique key.
        Unique = "unique-key" * 2;
        /// A job with a concurrency key that others have too.
        Concurrency = "concurrency-key" * 3;
        /// A job with a delay of some seconds.
        Delayed = "delayed" * 3;
        /// A job with a reply.
        Reply = "reply" * 3;
        /// A job whose first call fails.
        FailsFirst = "fails-first" * 2;
        /// A job that the provider refuses: a dead letter.
        Refused = "refused" * 1;
        /// A job whose answer is billed and never arrives.
        AnswerLost = "answer-lost" * 1;
        /// A job of an hour's delay that is cancelled.
        CancelledParked = "cancelled-parked" * 1;
        /// A job with a long call that is cancelled.
        CancelledRunning = "cancelled-running" * 1;
        /// A job that spawns three.
        Spawn = "spawn" * 1;
        /// A chain of three steps.
        Sequence = "chain-sequence" * 1;
        /// A chain with a fan-out and a gathering step.
        FanOut = "chain-fan-out" * 1;
        /// A batch, by the command line.
        Batch = "batch" * 1;
    }
}

impl FaultKind {
    /// Whether a later step ends it.
    fn lasts(self) -> bool {
        matches!(
            self,
            Self::WorkerStalled | Self::SchedulerStalled | Self::PostgresAway
        )
    }
}

/// One step of the sequence of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A fault that is over when its injection returns, or that a later step ends.
    Begins(FaultKind, usize),
    /// The end of a stall of this worker or scheduler, or of the absence of Postgres.
    Ends(FaultKind, usize),
}

/// The sequence of faults of a seed. It never ends.
pub(crate) struct Faults {
    random: StdRng,
    kinds: Vec<FaultKind>,
    deck: Vec<FaultKind>,
    /// Faults that have begun, and after how many more steps they end.
    open: VecDeque<(usize, Fault)>,
}

impl Faults {
    /// Only of these kinds, in the shares of their deck.
    pub(crate) fn new(seed: u64, kinds: &[FaultKind]) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            kinds: kinds.to_vec(),
            deck: Vec::new(),
            open: VecDeque::new(),
        }
    }

    fn deal(&mut self) -> Option<FaultKind> {
        if self.deck.is_empty() {
            let of = FaultKind::DECK.iter();
            self.deck = of
                .filter(|(kind, _)| self.kinds.contains(kind))
                .flat_map(|(kind, weight)| std::iter::repeat_n(*kind, *weight))
                .collect();
            self.deck.shuffle(&mut self.random);
        }
        self.deck.pop()
    }

    /// The end of a fault that is due.
    fn end(&mut self) -> Option<Fault> {
        for (left, _) in &mut self.open {
            *left = left.saturating_sub(1);
        }
        let due = self.open.iter().position(|(left, _)| *left == 0)?;
        self.open.remove(due).map(|(_, fault)| fault)
    }
}

impl Iterator for Faults {
    /// The pause before a fault, and the fault.
    type Item = (Duration, Fault);

    fn next(&mut self) -> Option<Self::Item> {
        let pause = Duration::from_millis(self.random.random_range(100..2500));
        if let Some(fault) = self.end() {
            return Some((pause, fault));
        }
        let kind = self.deal()?;
        let member = match kind {
            FaultKind::WorkerKilled | FaultKind::WorkerDrained | FaultKind::WorkerStalled => {
                self.random.random_range(0..WORKERS)
            }
            FaultKind::SchedulerKilled | FaultKind::SchedulerStalled => {
                self.random.random_range(0..SCHEDULERS)
            }
            FaultKind::ClocksStepped => self.random.random_range(0..CLOCK_OFFSETS.len()),
            _ => 0,
        };
        let end = Fault::Ends(kind, member);
        if let Some(open) = self.open.iter().position(|(_, open)| *open == end) {
            // It has begun already.
            self.open.remove(open);
            return Some((pause, end));
        }
        if kind.lasts() {
            self.open.push_back((self.random.random_range(2..5), end));
        }
        Some((pause, Fault::Begins(kind, member)))
    }
}

/// The sequence of messages of a seed. It never ends.
pub(super) struct Messages {
    random: StdRng,
    deck: Vec<MessageKind>,
}

impl Messages {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            // Another sequence than that of the faults.
            random: StdRng::seed_from_u64(seed.wrapping_add(1 << 32)),
            deck: Vec::new(),
        }
    }
}

/// A message of the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedMessage {
    pub(super) kind: MessageKind,
    /// How long its calls take.
    pub(super) latency: Duration,
    /// Between the two messages of a pair; from a job to its cancellation; the delay of a job.
    pub(super) then: Duration,
}

impl Iterator for Messages {
    /// The pause before a message, and the message.
    type Item = (Duration, PlannedMessage);

    fn next(&mut self) -> Option<Self::Item> {
        if self.deck.is_empty() {
            let of = MessageKind::DECK.iter();
            self.deck = of
                .flat_map(|(kind, weight)| std::iter::repeat_n(*kind, *weight))
                .collect();
            self.deck.shuffle(&mut self.random);
        }
        let pause = Duration::from_millis(self.random.random_range(30..170));
        // Most calls are short; some outlast a fault.
        let longest = if self.random.random_ratio(1, 10) {
            4000
        } else {
            600
        };
        let message = PlannedMessage {
            kind: self.deck.pop()?,
            latency: Duration::from_millis(self.random.random_range(20..longest)),
            then: Duration::from_millis(self.random.random_range(0..5000)),
        };
        Some((pause, message))
    }
}

fn all() -> Vec<FaultKind> {
    FaultKind::DECK.iter().map(|(kind, _)| *kind).collect()
}

#[test]
fn a_seed_gives_the_same_plan_again() {
    let faults = |seed| Faults::new(seed, &all()).take(200).collect::<Vec<_>>();
    assert_eq!(faults(7), faults(7));
    assert_ne!(faults(7), faults(8));
    let messages = |seed| {
        let planned = Messages::new(seed).take(200);
        planned
            .map(|message| format!("{message:?}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(messages(7), messages(7));
    assert_ne!(messages(7), messages(8));
}

#[test]
fn what_begins_ends_and_every_kind_occurs() {
    let dealt: Vec<Fault> = Faults::new(1, &all())
        .take(400)
        .map(|(_, fault)| fault)
        .collect();
    for kind in all() {
        assert!(
            dealt
                .iter()
                .any(|fault| matches!(fault, Fault::Begins(begun, _) if *begun == kind)),
            "{kind:?}"
        );
    }
    let mut away = false;
    for fault in dealt {
        match fault {
            Fault::Begins(FaultKind::PostgresAway, _) => away = true,
            Fault::Ends(FaultKind::PostgresAway, _) => {
                assert!(away, "Postgres returns only after it went");
                away = false;
            }
            _ => {}
        }
    }
}
