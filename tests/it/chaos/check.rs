//! The books of a run: what was sent, what Redis and Postgres say came of it, and what the provider billed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use longshore_ledger::{ChainFilter, JobFilter, JobRow};
use longshore_protocol::{
    chain::{ChainId, ChainState},
    id::JobId,
    outcome::Outcome,
    reply::ReplyTo,
    state::{AttemptOutcome, JobState},
};
use longshore_simulator::Bill;
use longshore_tests::stack::{Books, Comparison, Stack};

use super::{
    faults::{Fleet, Loss},
    keys,
    load::{Expected, ExpectedJob, Message},
};

/// How long after a loss a worker may end before it has recorded its last attempts again. It checks for a loss every 3 s
/// while Redis answers. The calls that both have forgotten are in no book: nobody is left who knows them.
const RECORDED_AGAIN_MS: u64 = 15_000;

/// The longest time from a bill, or from the end of a call, to the script that settles it: the call's latency and the
/// longest fault that may lie between.
const CALL_TO_SETTLE_MS: u64 = 30_000;

/// How long nothing may change while jobs are left.
const STUCK: Duration = Duration::from_mins(1);

/// Something that must not happen.
#[derive(Debug)]
pub(super) struct Breach {
    /// The rule that is broken.
    rule: &'static str,
    /// What breaks it.
    subject: String,
    text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule, self.subject, self.text)
    }
}

/// All that the check found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) breaches: Vec<Breach>,
    /// Jobs by the state that they ended in.
    pub(super) ends: BTreeMap<&'static str, usize>,
    pub(super) money: Comparison,
    /// Calls in no book, see [`RECORDED_AGAIN_MS`].
    pub(super) excused: usize,
    pub(super) lost_attempts: usize,
    pub(super) duplicates: usize,
}

impl Findings {
    fn breach(&mut self, rule: &'static str, subject: impl fmt::Display, text: impl fmt::Display) {
        self.breaches.push(Breach {
            rule,
            subject: subject.to_string(),
            text: text.to_string(),
        });
    }
}

/// What was expected, by message.
pub(super) struct Expectations(Vec<(usize, Expected)>);

impl Expectations {
    pub(super) fn new(messages: &[Message], losses: &[Loss]) -> Self {
        let expected = messages
            .iter()
            .map(|message| (message.number, message.expected(losses)));
        Self(expected.collect())
    }

    fn jobs(&self) -> impl Iterator<Item = &ExpectedJob> {
        self.0.iter().flat_map(|(_, expected)| &expected.jobs)
    }

    fn chains(&self) -> impl Iterator<Item = (&ChainId, bool)> {
        self.0.iter().filter_map(|(_, expected)| {
            let is_certain = expected.jobs.iter().any(|job| job.is_certain);
            Some((expected.chain.as_ref()?, is_certain))
        })
    }
}

/// Checks everything once the run is quiet.
pub(super) async fn check(fleet: &mut Fleet, messages: &[Message]) -> anyhow::Result<Findings> {
    let expectations = Expectations::new(messages, &fleet.losses);
    let mut findings = Findings::default();
    let outcomes = wait_until_quiet(&fleet.stack, &expectations, &mut findings).await?;
    let rows = fleet.stack.ledger.jobs(&JobFilter::default()).await?;
    let rows: BTreeMap<JobId, JobRow> = rows
        .into_iter()
        .map(|row| (row.job.labels.job_id.clone(), row))
        .collect();
    for row in rows.values() {
        *findings.ends.entry(row.job.state.as_str()).or_default() += 1;
    }
    check_ends(&expectations, &outcomes, &rows, &mut findings);
    check_strangers(&expectations, &rows, &mut findings);
    check_chains(&fleet.stack, &expectations, &mut findings).await?;
    check_replies(&fleet.stack, &expectations, &mut findings).await?;
    check_money(fleet, &rows, &mut findings).await?;
    let lost: BTreeSet<String> = expectations
        .jobs()
        .filter(|job| !job.is_certain)
        .map(|job| job.id.to_string())
        .collect();
    for left in keys::leftovers(&fleet.stack, &rows, &lost).await? {
        findings.breach(
            "the keys of Redis are those of an idle stack",
            left.key,
            left.text,
        );
    }
    add_evidence(&fleet.stack, &mut findings).await;
    if let Err(error) = fleet.shut_down().await {
        findings.breach(
            "workers and schedulers stop in order",
            "a process",
            format!("{error:#}"),
        );
    }
    for (log, line) in panics(&fleet.stack)? {
        findings.breach("no process panics", log, line);
    }
    Ok(findings)
}

/// Waits until every expected job and chain has an outcome, nothing is queued, parked or in flight, and every event is
/// recorded; a breach for each that is stuck.
async fn wait_until_quiet(
    stack: &Stack,
    expectations: &Expectations,
    findings: &mut Findings,
) -> anyhow::Result<BTreeMap<JobId, Outcome>> {
    let mut outcomes = BTreeMap::new();
    let mut open: Vec<&ExpectedJob> = expectations.jobs().collect();
    let (mut before, mut changed) = (String::new(), Instant::now());
    loop {
        let mut left = Vec::new();
        for some in open.chunks(1000) {
            let ids: Vec<JobId> = some.iter().map(|job| job.id.clone()).collect();
            for (job, outcome) in some.iter().zip(stack.broker.jobs().outcomes(&ids).await?) {
                match outcome {
                    Some(outcome) => {
                        outcomes.insert(job.id.clone(), outcome);
                    }
                    None => left.push(*job),
                }
            }
        }
        open = left;
        let missing: Vec<_> = open.iter().filter(|job| job.is_certain).collect();
        let busy = keys::busy(stack).await?;
        if missing.is_empty() && busy.is_empty() {
            return Ok(outcomes);
        }
        let now = format!(
            "{} {busy:?} {}",
            missing.len(),
            stack.simulator.stats().requests
        );
        if now != before {
            (before, changed) = (now, Instant::now());
        }
        if changed.elapsed() > STUCK {
            for job in missing {
                findings.breach("every accepted job ends", &job.id, "it has no outcome");
            }
            for (key, length) in busy {
                findings.breach("the stack becomes idle", key, format!("{length} left"));
            }
            return Ok(outcomes);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Each job has one end, the same in Redis and Postgres, and one that was expected.
fn check_ends(
    expectations: &Expectations,
    outcomes: &BTreeMap<JobId, Outcome>,
    rows: &BTreeMap<JobId, JobRow>,
    findings: &mut Findings,
) {
    const RULE: &str = "every accepted job has exactly one end, in Redis and in Postgres";
    for (number, expected) in &expectations.0 {
        let mut completed = 0;
        for job in &expected.jobs {
            let (outcome, row) = (outcomes.get(&job.id), rows.get(&job.id));
            let class = outcome.and_then(|outcome| outcome.error_class.as_deref());
            if class == Some("poison") {
                findings.breach(
                    "no job is poison without cause",
                    &job.id,
                    format!("message {number}"),
                );
                continue;
            }
            let ends = [
                outcome.map(|outcome| outcome.state),
                row.map(|row| row.job.state)
                    .filter(|state| state.is_final()),
            ];
            completed += usize::from(ends.contains(&Some(JobState::Completed)));
            match ends {
                [None, _] if !job.is_certain => {}
                [Some(end), Some(recorded)] if end == recorded && job.ends.contains(&end) => {}
                [end, recorded] => {
                    let text = format!(
                        "expected {:?}, found {end:?} ({class:?}) in Redis and {recorded:?} in Postgres",
                        job.ends
                    );
                    findings.breach(RULE, &job.id, text);
                }
            }
        }
        if expected.exclusive && completed != 1 {
            let text = format!("{completed} of its jobs completed: {:?}", expected.jobs);
            findings.breach(
                "of two jobs with one unique key one runs",
                format!("message {number}"),
                text,
            );
        }
    }
}

/// Nothing ran that was not sent.
fn check_strangers(
    expectations: &Expectations,
    rows: &BTreeMap<JobId, JobRow>,
    findings: &mut Findings,
) {
    let known: BTreeSet<&JobId> = expectations.jobs().map(|job| &job.id).collect();
    let mut unknown: BTreeMap<usize, usize> = BTreeMap::new();
    for (number, expected) in &expectations.0 {
        unknown.insert(*number, expected.unknown);
    }
    for (id, row) in rows.iter().filter(|(id, _)| !known.contains(id)) {
        let number = row
            .job
            .metadata
            .as_ref()
            .and_then(|data| data.get("chaos")?.as_u64());
        let number = number.and_then(|number| usize::try_from(number).ok());
        match number.and_then(|number| unknown.get_mut(&number)) {
            Some(left) if *left > 0 => *left -= 1,
            _ => findings.breach(
                "only what was sent runs",
                id,
                format!("{:?}", row.job.state),
            ),
        }
    }
}

/// Each chain and each batch completes, and Redis and Postgres say so.
async fn check_chains(
    stack: &Stack,
    expectations: &Expectations,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let rows = stack.ledger.chains(&ChainFilter::default()).await?;
    let states: BTreeMap<ChainId, ChainState> = rows
        .into_iter()
        .map(|row| (row.chain.chain_id, row.chain.state))
        .collect();
    for (chain, is_certain) in expectations.chains() {
        let outcome = stack.broker.chains().outcome(chain).await?;
        let state = outcome.map(|outcome| outcome.state);
        let recorded = states.get(chain);
        let ended =
            state == Some(ChainState::Completed) && recorded == Some(&ChainState::Completed);
        if !ended && (is_certain || state.is_some()) {
            let text = format!("{state:?} in Redis, {recorded:?} in Postgres");
            findings.breach("every chain and batch completes", chain, text);
        }
    }
    Ok(())
}

/// Each message that asked for a reply has one.
async fn check_replies(
    stack: &Stack,
    expectations: &Expectations,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut connection = stack.connection().await?;
    for some in expectations.jobs().collect::<Vec<_>>().chunks(1000) {
        let mut pipe = redis::pipe();
        for job in some {
            pipe.llen(stack.broker.keys().reply(&ReplyTo::Anyone, &job.id));
        }
        let lengths: Vec<u64> = pipe.query_async(&mut connection).await?;
        for (job, length) in some.iter().zip(lengths) {
            if !job.replies.contains(&length) {
                let text = format!("{length} replies, expected {:?}", job.replies);
                findings.breach("each message that asked for a reply has one", &job.id, text);
            }
        }
    }
    Ok(())
}

/// The ledger equals the invoice, and no job settled twice.
async fn check_money(
    fleet: &Fleet,
    rows: &BTreeMap<JobId, JobRow>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    const RULE: &str = "the ledger equals the invoice";
    let books = fleet.stack.books().await?;
    let money = books.compare()?;
    for difference in &money.differences {
        let bill = books
            .invoice
            .iter()
            .find(|bill| bill.attempt_id == difference.attempt);
        if difference.job.is_none() && bill.is_some_and(|bill| is_excused(bill, fleet)) {
            findings.excused += 1;
            continue;
        }
        let text = format!("{}, {bill:?}", difference.text);
        let job = difference.job.as_ref().map_or("unknown job", JobId::as_str);
        findings.breach(RULE, job, format!("attempt {}: {text}", difference.attempt));
    }
    if money.ledger != money.invoice {
        let text = format!("ledger {}, invoice {}", money.ledger, money.invoice);
        findings.breach(RULE, "the sums", text);
    }
    findings.money = money;
    findings.lost_attempts = books.count(AttemptOutcome::Lost);
    findings.duplicates = books.ledger.iter().filter(|row| row.duplicate).count();
    check_settled(fleet, &books, rows, findings);
    Ok(())
}

/// Each completed job has one attempt that completed it, and other jobs have none.
fn check_settled(
    fleet: &Fleet,
    books: &Books,
    rows: &BTreeMap<JobId, JobRow>,
    findings: &mut Findings,
) {
    let mut settled: BTreeMap<&JobId, usize> = BTreeMap::new();
    for row in &books.ledger {
        if row.outcome == AttemptOutcome::Completed && !row.duplicate {
            *settled.entry(&row.job_id).or_default() += 1;
        }
    }
    for (id, row) in rows {
        let expected = usize::from(row.job.state == JobState::Completed);
        let found = settled.get(id).copied().unwrap_or(0);
        if found == expected {
            continue;
        }
        // What was settled in a part of the file that was lost is settled again.
        let attempts = books.ledger.iter().filter(|row| row.job_id == *id);
        let bills = attempts.filter_map(|row| {
            let attempt = row.attempt_id.to_string();
            books.invoice.iter().find(|bill| bill.attempt_id == attempt)
        });
        let rolled_back = bills.filter(|bill| is_around(bill, &fleet.losses)).count();
        if found.abs_diff(expected) > rolled_back {
            let text = format!("{found} attempts completed it, expected {expected}");
            findings.breach("no job is settled twice", id, text);
        }
    }
}

/// Whether a call may have been forgotten with the append-only file, and with the worker that made it.
fn is_excused(bill: &Bill, fleet: &Fleet) -> bool {
    fleet.losses.iter().any(|loss| {
        let until = loss.to_ms + RECORDED_AGAIN_MS;
        let mut ends = fleet.worker_ends.iter();
        is_around(bill, std::slice::from_ref(loss))
            && ends.any(|end| (loss.from_ms..=until).contains(end))
    })
}

/// Whether a call may have been settled in a part of the file that was lost.
fn is_around(bill: &Bill, losses: &[Loss]) -> bool {
    let around = |loss: &Loss| {
        bill.billed_at_ms <= loss.to_ms && bill.billed_at_ms + CALL_TO_SETTLE_MS >= loss.from_ms
    };
    losses.iter().any(around)
}

/// Adds what the stack knows of the subjects of the first breaches.
async fn add_evidence(stack: &Stack, findings: &mut Findings) {
    const EXPLAINED: usize = 20;
    for breach in findings.breaches.iter_mut().take(EXPLAINED) {
        for arguments in [
            ["jobs", "show", breach.subject.as_str()],
            ["jobs", "why", &breach.subject],
        ] {
            if let Ok(ran) = stack.longshore(&arguments).await
                && ran.code == Some(0)
            {
                breach.text = format!("{}\n{}", breach.text, ran.stdout);
            }
        }
    }
}

/// The lines of logs that report a panic, each with its log.
fn panics(stack: &Stack) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(stack.dir())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains("panicked"));
        found.extend(lines.map(|line| (path.display().to_string(), line.to_owned())));
    }
    Ok(found)
}
