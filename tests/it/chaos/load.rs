//! The producers of a run: what each message says, and what must come of it.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use longshore_broker::Broker;
use longshore_protocol::{
    chain::ChainId,
    id::{EntryId, JobId, QueueName},
    state::JobState,
};
use longshore_tests::stack::{Launcher, Stack, connect_to_redis};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use super::{
    faults::{Loss, now_ms},
    plan::{MessageKind, Messages, PlannedMessage},
};

/// The pause before a refused command is sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// Jobs of a batch, of a fan-out, and those that one job spawns.
const BATCH: u32 = 5;
const ITEMS: [&str; 3] = ["a", "b", "c"];

/// One `XADD`.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// The server replied with a receipt.
    Accepted {
        receipt: JobId,
        from_ms: u64,
        to_ms: u64,
    },
    /// The connection broke before the reply.
    Unknown,
}

/// A message, or a group of messages that belong together, as it was sent.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) number: usize,
    pub(super) kind: MessageKind,
    sent: Vec<Sent>,
    /// When the request to cancel it was accepted.
    cancelled_ms: Option<(u64, u64)>,
}

/// What must come of a job.
#[derive(Debug)]
pub(super) struct ExpectedJob {
    pub(super) id: JobId,
    /// The states that it may end in.
    pub(super) ends: &'static [JobState],
    /// Whether it must exist. If not, it may have been lost with the append-only file.
    pub(super) is_certain: bool,
    /// How many outcomes must be in its reply list.
    pub(super) replies: RangeInclusive<u64>,
}

/// What must come of a message.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) jobs: Vec<ExpectedJob>,
    /// The chain or batch that must complete.
    pub(super) chain: Option<ChainId>,
    /// Jobs that may exist under ids that the producer does not know.
    pub(super) unknown: usize,
    /// Exactly one of the jobs completes.
    pub(super) exclusive: bool,
}

const COMPLETED: &[JobState] = &[JobState::Completed];
const DISCARDED: &[JobState] = &[JobState::Discarded];
const CANCELLED: &[JobState] = &[JobState::Cancelled];
const COMPLETED_OR_CANCELLED: &[JobState] = &[JobState::Completed, JobState::Cancelled];

impl Sent {
    /// Whether the message is in Redis for certain: accepted, and not in a part of the file that was lost.
    fn is_certain(&self, losses: &[Loss]) -> bool {
        match self {
            Self::Unknown => false,
            Self::Accepted { from_ms, to_ms, .. } => !is_lost(*from_ms, *to_ms, losses),
        }
    }

    fn receipt(&self) -> Option<&JobId> {
        match self {
            Self::Unknown => None,
            Self::Accepted { receipt, .. } => Some(receipt),
        }
    }
}

/// Whether something that happened between these times may have been lost.
fn is_lost(from_ms: u64, to_ms: u64, losses: &[Loss]) -> bool {
    losses
        .iter()
        .any(|loss| from_ms <= loss.to_ms && to_ms >= loss.from_ms)
}

impl Message {
    /// The id that the producer chose, if it did.
    pub(super) fn own_id(&self) -> Option<String> {
        let prefix = match self.kind {
            MessageKind::SentTwice => "own",
            MessageKind::CancelledParked | MessageKind::CancelledRunning => "cancel",
            MessageKind::Spawn => "spawn",
            MessageKind::Sequence | MessageKind::FanOut => "chain",
            MessageKind::Batch => "batch",
            _ => return None,
        };
        Some(format!("{prefix}-{}", self.number))
    }

    /// The states that its jobs may end in.
    fn ends(&self) -> &'static [JobState] {
        match self.kind {
            MessageKind::Refused | MessageKind::AnswerLost => DISCARDED,
            MessageKind::CancelledParked => CANCELLED,
            MessageKind::CancelledRunning | MessageKind::Unique => COMPLETED_OR_CANCELLED,
            _ => COMPLETED,
        }
    }

    /// How many of its messages asked for a reply.
    fn replies(&self, losses: &[Loss]) -> RangeInclusive<u64> {
        if !matches!(self.kind, MessageKind::SentTwice | MessageKind::Reply) {
            return 0..=0;
        }
        let certain = self
            .sent
            .iter()
            .filter(|sent| sent.is_certain(losses))
            .count();
        u64::try_from(certain).unwrap_or(0)..=u64::try_from(self.sent.len()).unwrap_or(0)
    }

    /// What must come of it.
    pub(super) fn expected(&self, losses: &[Loss]) -> Expected {
        let Some(own_id) = self.own_id() else {
            return self.expected_by_receipt(losses);
        };
        let is_certain = self.sent.iter().any(|sent| sent.is_certain(losses));
        let parts: Vec<String> = match self.kind {
            MessageKind::Sequence => ITEMS.map(|step| format!("/{step}")).into(),
            MessageKind::FanOut => {
                let items = (0..ITEMS.len()).map(|at| format!("/each/{at}"));
                items
                    .chain(["/list".to_owned(), "/join".to_owned()])
                    .collect()
            }
            MessageKind::Spawn => {
                let children = (0..ITEMS.len()).map(|at| format!("/{at}"));
                children.chain([String::new()]).collect()
            }
            MessageKind::Batch => (0..BATCH).map(|at| format!("/task/{at}")).collect(),
            _ => vec![String::new()],
        };
        let job = |part: String| ExpectedJob {
            id: JobId::from_stored(&format!("{own_id}{part}")),
            ends: self.ends(),
            is_certain,
            replies: self.replies(losses),
        };
        let is_chain = matches!(
            self.kind,
            MessageKind::Sequence | MessageKind::FanOut | MessageKind::Batch
        );
        Expected {
            jobs: parts.into_iter().map(job).collect(),
            chain: is_chain.then(|| ChainId::parse(&own_id).ok()).flatten(),
            ..Expected::default()
        }
    }

    fn expected_by_receipt(&self, losses: &[Loss]) -> Expected {
        let job = |sent: &Sent| {
            let is_certain = sent.is_certain(losses);
            Some(ExpectedJob {
                id: sent.receipt()?.clone(),
                ends: self.ends(),
                is_certain,
                replies: match self.kind {
                    MessageKind::Reply => u64::from(is_certain)..=1,
                    _ => 0..=0,
                },
            })
        };
        let jobs: Vec<ExpectedJob> = self.sent.iter().filter_map(job).collect();
        let certain = jobs.iter().filter(|job| job.is_certain).count();
        Expected {
            unknown: self.sent.len() - jobs.len(),
            // The one that completes may be one of the others.
            exclusive: self.kind == MessageKind::Unique && certain == 2 && self.sent.len() == 2,
            jobs,
            chain: None,
        }
    }
}

/// Sends the messages of a plan, each in a task of its own.
pub(super) struct Load {
    producer: Arc<Producer>,
    planned: Messages,
    tasks: JoinSet<anyhow::Result<Message>>,
    next: usize,
}

struct Producer {
    url: String,
    broker: Broker,
    launcher: Launcher,
}

impl Load {
    pub(super) fn new(stack: &Stack, seed: u64) -> Self {
        Self {
            producer: Arc::new(Producer {
                url: stack.redis.url(),
                broker: stack.broker.clone(),
                launcher: stack.launcher(),
            }),
            planned: Messages::new(seed),
            tasks: JoinSet::new(),
            next: 0,
        }
    }

    /// Begins to send messages until `end`.
    pub(super) async fn send_until(&mut self, end: Instant) {
        while Instant::now() < end {
            let Some((pause, planned)) = self.planned.next() else {
                return;
            };
            tokio::time::sleep(pause).await;
            let number = self.next;
            self.next += 1;
            let producer = Arc::clone(&self.producer);
            self.tasks
                .spawn(async move { producer.send(number, planned).await });
        }
    }

    /// Waits until everything is sent. A batch or a request to cancel that may have been lost is sent again, which is
    /// safe; nothing else is.
    pub(super) async fn finish(mut self, losses: &[Loss]) -> anyhow::Result<Vec<Message>> {
        let mut messages = Vec::new();
        while let Some(sent) = self.tasks.join_next().await {
            messages.push(sent??);
        }
        messages.sort_by_key(|message| message.number);
        for message in &mut messages {
            let was_cancelled = message.cancelled_ms;
            if was_cancelled.is_some_and(|(from, to)| is_lost(from, to, losses)) {
                self.producer.cancel(message).await;
            }
            let is_certain = message.sent.iter().any(|sent| sent.is_certain(losses));
            if message.kind == MessageKind::Batch && !is_certain {
                let sent = self.producer.send_batch(message).await?;
                message.sent.push(sent);
            }
        }
        Ok(messages)
    }
}

impl Producer {
    async fn send(&self, number: usize, planned: PlannedMessage) -> anyhow::Result<Message> {
        let mut message = Message {
            number,
            kind: planned.kind,
            sent: Vec::new(),
            cancelled_ms: None,
        };
        match planned.kind {
            MessageKind::Batch => {
                let sent = self.send_batch(&message).await?;
                message.sent.push(sent);
            }
            MessageKind::Sequence | MessageKind::FanOut => {
                let chain = chain(&message, planned).to_string();
                self.xadd(&mut message, &[("chain", &chain)]).await?;
            }
            MessageKind::Flat => {
                let (prompt, metadata) =
                    (prompt(&message, planned), metadata(&message).to_string());
                let fields = [("prompt", prompt.as_str()), ("metadata", &metadata)];
                self.xadd(&mut message, &fields).await?;
            }
            _ => {
                let job = job(&message, planned).to_string();
                self.xadd(&mut message, &[("job", &job)]).await?;
                if matches!(planned.kind, MessageKind::SentTwice | MessageKind::Unique) {
                    tokio::time::sleep(planned.then).await;
                    self.xadd(&mut message, &[("job", &job)]).await?;
                }
            }
        }
        if matches!(
            planned.kind,
            MessageKind::CancelledParked | MessageKind::CancelledRunning
        ) {
            tokio::time::sleep(planned.then / 2).await;
            self.cancel(&mut message).await;
        }
        Ok(message)
    }

    /// Sends a message until Redis accepts it. When a connection breaks before the reply, a message without an id of
    /// its own is not sent again.
    async fn xadd(&self, message: &mut Message, fields: &[(&str, &str)]) -> anyhow::Result<()> {
        let queue = QueueName::default();
        let mut command = redis::cmd("XADD");
        command
            .arg(self.broker.keys().queue(&queue))
            .arg("*")
            .arg(fields);
        loop {
            if let Ok(mut connection) = connect_to_redis(&self.url).await {
                let from_ms = now_ms();
                let replied: redis::RedisResult<String> =
                    command.query_async(&mut connection).await;
                match replied {
                    Ok(entry) => {
                        message.sent.push(Sent::Accepted {
                            receipt: JobId::from_entry(&EntryId::new(&queue, &entry)),
                            from_ms,
                            to_ms: now_ms(),
                        });
                        return Ok(());
                    }
                    // The server refused it.
                    Err(error) if error.code().is_some() => {}
                    Err(_) => {
                        message.sent.push(Sent::Unknown);
                        if message.own_id().is_none() {
                            return Ok(());
                        }
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn cancel(&self, message: &mut Message) {
        let Some(job) = message.own_id() else { return };
        let job = JobId::from_stored(&job);
        loop {
            let from_ms = now_ms();
            if self.broker.jobs().cancel(&job, None).await.is_ok() {
                message.cancelled_ms = Some((from_ms, now_ms()));
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Runs `longshore batch` until it succeeds.
    async fn send_batch(&self, message: &Message) -> anyhow::Result<Sent> {
        let id = format!("batch-{}", message.number);
        let tasks: Vec<Value> = (0..BATCH)
            .map(|at| json!({"prompt": format!("task {at} of {id}")}))
            .collect();
        let file = self.launcher.dir().join(format!("{id}.json"));
        std::fs::write(&file, Value::from(tasks).to_string())?;
        let file = file.display().to_string();
        loop {
            let from_ms = now_ms();
            let arguments = ["batch", &file, "--id", &id, "--detach", "--yes"];
            if self.launcher.longshore(&arguments).await?.code == Some(0) {
                return Ok(Sent::Accepted {
                    receipt: JobId::from_stored(&id),
                    from_ms,
                    to_ms: now_ms(),
                });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn metadata(message: &Message) -> Value {
    json!({"chaos": message.number})
}

fn prompt(message: &Message, planned: PlannedMessage) -> String {
    let latency = match planned.kind {
        MessageKind::CancelledRunning => 4000,
        _ => planned.latency.as_millis(),
    };
    let marker = match planned.kind {
        MessageKind::FailsFirst => "[[fail_first=1:503]]",
        MessageKind::Refused => "[[status=400]]",
        MessageKind::AnswerLost => "[[drop_billed]]",
        MessageKind::Spawn => r#"[[echo=["a","b","c"]]]"#,
        _ => "",
    };
    format!(
        "[[latency={latency}]] {marker} {} {}",
        planned.kind.name(),
        message.number
    )
}

/// A job as JSON.
fn job(message: &Message, planned: PlannedMessage) -> Value {
    let mut job = json!({"prompt": prompt(message, planned), "metadata": metadata(message)});
    let more = match planned.kind {
        MessageKind::SentTwice | MessageKind::Reply => json!({"reply": true}),
        MessageKind::Unique => json!({"unique_key": format!("unique-{}", message.number)}),
        MessageKind::Concurrency => {
            let key = format!("key-{}", message.number % 3);
            json!({"concurrency_key": key, "concurrency_limit": 3})
        }
        MessageKind::Delayed => json!({"delay": planned.then.as_secs_f64()}),
        MessageKind::FailsFirst | MessageKind::AnswerLost | MessageKind::Refused => json!({
            "fallback": planned.kind == MessageKind::FailsFirst,
            "retry": {"max_retries": 2, "base_delay": 0.2, "max_delay": 0.2},
        }),
        MessageKind::CancelledParked => json!({"delay": 3600}),
        MessageKind::Spawn => json!({"spawn": true}),
        _ => json!({}),
    };
    let id = message.own_id().map(|id| json!({"id": id}));
    for fields in [Some(more), id].into_iter().flatten() {
        if let (Value::Object(job), Value::Object(fields)) = (&mut job, fields) {
            job.extend(fields);
        }
    }
    job
}

/// A chain document.
fn chain(message: &Message, planned: PlannedMessage) -> Value {
    let latency = planned.latency.as_millis();
    let steps = match planned.kind {
        MessageKind::FanOut => json!([
            {"name": "list", "prompt": format!(r#"[[latency={latency}]] [[echo=["a","b","c"]]]"#)},
            {"name": "each", "needs": ["list"], "foreach": "steps.list.json",
                "prompt": format!("[[latency={latency}]] {{{{ item }}}}")},
            {"name": "join", "gather": "each", "prompt": "{{ gathered | length }}"},
        ]),
        _ => json!([
            {"name": "a", "prompt": format!("[[latency={latency}]] one")},
            {"name": "b", "needs": ["a"], "prompt": "two after {{ steps.a.output }}"},
            {"name": "c", "needs": ["b"], "prompt": "three after {{ steps.b.output }}"},
        ]),
    };
    json!({"id": message.own_id(), "metadata": metadata(message), "steps": steps})
}
