//! What came of every job, from outside: replies and outcomes in Redis, the ledger, the provider's invoice, and how often
//! each was handed back.

use std::collections::{BTreeMap, BTreeSet};

use longshore_ledger::JobFilter;
use longshore_protocol::{
    id::JobId,
    reply::ReplyTo,
    state::{AttemptOutcome, JobState},
};
use longshore_tests::stack::{Books, Stack};

use super::witness::HandBacks;

/// What is known of a run once it is over.
pub(super) struct Evidence {
    sent: BTreeMap<JobId, Ends>,
    books: Books,
    /// Calls that the provider received.
    calls: u64,
    hand_backs: HandBacks,
    /// Jobs in the ledger that nobody sent.
    strangers: Vec<JobId>,
}

/// The ends of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    /// Its outcome in Redis.
    outcome: Option<JobState>,
    /// Its state in the ledger.
    recorded: Option<JobState>,
    /// Replies: each end pushes one.
    replies: u64,
}

impl Evidence {
    pub(super) async fn collect(
        stack: &Stack,
        sent: Vec<JobId>,
        hand_backs: HandBacks,
    ) -> anyhow::Result<Self> {
        let books = stack.books().await?;
        let rows = stack.ledger.jobs(&JobFilter::default()).await?;
        let mut recorded: BTreeMap<JobId, JobState> = rows
            .into_iter()
            .map(|row| (row.job.labels.job_id, row.job.state))
            .collect();
        let mut ends = BTreeMap::new();
        let mut connection = stack.connection().await?;
        for some in sent.chunks(1000) {
            let mut pipe = redis::pipe();
            for job in some {
                pipe.llen(stack.broker.keys().reply(&ReplyTo::Anyone, job));
            }
            let replies: Vec<u64> = pipe.query_async(&mut connection).await?;
            let outcomes = stack.broker.jobs().outcomes(some).await?;
            for ((job, outcome), replies) in some.iter().zip(outcomes).zip(replies) {
                let found = Ends {
                    outcome: outcome.map(|outcome| outcome.state),
                    recorded: recorded.remove(job),
                    replies,
                };
                ends.insert(job.clone(), found);
            }
        }
        Ok(Self {
            sent: ends,
            books,
            calls: stack.simulator.stats().requests,
            hand_backs,
            strangers: recorded.into_keys().collect(),
        })
    }

    /// In one line.
    pub(super) fn figures(&self) -> String {
        let most = self.hand_backs.values().max().copied().unwrap_or_default();
        format!(
            "{} jobs, {} calls, {} bills, {} attempts in the ledger; {} jobs handed back, each at most {most} times",
            self.sent.len(),
            self.calls,
            self.books.invoice.len(),
            self.books.ledger.len(),
            self.hand_backs.len(),
        )
    }

    /// What must not have happened.
    pub(super) fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        let expected = Ends {
            outcome: Some(JobState::Completed),
            recorded: Some(JobState::Completed),
            replies: 1,
        };
        for (job, ends) in self.sent.iter().filter(|(_, ends)| **ends != expected) {
            breaches.push(format!("each job completes once: {job}: {ends:?}"));
        }
        for job in &self.strangers {
            breaches.push(format!("only what was sent runs: {job}"));
        }
        self.check_calls(&mut breaches);
        match self.books.compare() {
            Ok(compared) => {
                let differences = compared.differences.iter();
                breaches.extend(differences.map(|one| format!("the books balance: {one:?}")));
                let unknown = compared.unknown.iter();
                breaches.extend(unknown.map(|one| format!("every cost is known: {one:?}")));
                if compared.ledger != compared.invoice {
                    breaches.push(format!(
                        "the books balance: ledger {}, invoice {}",
                        compared.ledger, compared.invoice
                    ));
                }
            }
            Err(error) => breaches.push(format!("the books balance: {error:#}")),
        }
        let twice = self.hand_backs.iter().filter(|(_, times)| **times > 1);
        breaches.extend(twice.map(|(entry, times)| {
            format!("no job is handed back more than once: {entry}: {times} times")
        }));
        breaches
    }

    /// One call for each job, which completed it.
    fn check_calls(&self, breaches: &mut Vec<String>) {
        let billed: BTreeSet<&str> = self
            .books
            .invoice
            .iter()
            .map(|bill| bill.attempt_id.as_str())
            .collect();
        let counts = [
            ("calls", usize::try_from(self.calls).unwrap()),
            ("bills", self.books.invoice.len()),
            ("billed attempts", billed.len()),
            ("attempts in the ledger", self.books.ledger.len()),
        ];
        for (what, count) in counts
            .into_iter()
            .filter(|(_, count)| *count != self.sent.len())
        {
            breaches.push(format!("one call for each job: {count} {what}"));
        }
        let mut attempts: BTreeMap<&JobId, Vec<AttemptOutcome>> = BTreeMap::new();
        for row in &self.books.ledger {
            attempts.entry(&row.job_id).or_default().push(row.outcome);
        }
        for job in self.sent.keys() {
            let made = attempts.get(job).map(Vec::as_slice).unwrap_or_default();
            if made != [AttemptOutcome::Completed] {
                breaches.push(format!("one call for each job: {job}: {made:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_ledger::AttemptCost;
    use longshore_protocol::{
        call::Usage,
        id::{AttemptId, EntryId, QueueName},
        money::Usd,
    };
    use longshore_simulator::{Bill, Dialect};

    use super::*;

    fn job(entry: &str) -> JobId {
        JobId::from_entry(&EntryId::new(&QueueName::default(), entry))
    }

    /// One job that went as it should.
    fn sound() -> Evidence {
        let job = job("1-0");
        let attempt_id = AttemptId::new();
        let cost_usd: Usd = "0.001".parse().unwrap();
        let ends = Ends {
            outcome: Some(JobState::Completed),
            recorded: Some(JobState::Completed),
            replies: 1,
        };
        let row = AttemptCost {
            attempt_id,
            job_id: job.clone(),
            platform: "openai".into(),
            model: "m".into(),
            outcome: AttemptOutcome::Completed,
            duplicate: false,
            usage: Usage::default(),
            cost_usd: Some(cost_usd),
            reserved_usd: cost_usd,
        };
        let bill = Bill {
            attempt_id: attempt_id.to_string(),
            provider: "openai".into(),
            dialect: Dialect::Openai,
            model: "m".into(),
            input_tokens: 1,
            cached_tokens: 0,
            output_tokens: 1,
            reasoning_tokens: 0,
            cost_usd: cost_usd.to_string(),
            billed_at_ms: 0,
            answered: true,
        };
        Evidence {
            sent: BTreeMap::from([(job, ends)]),
            books: Books {
                ledger: vec![row],
                invoice: vec![bill],
            },
            calls: 1,
            hand_backs: HandBacks::from([("1-0".to_owned(), 1)]),
            strangers: Vec::new(),
        }
    }

    #[test]
    fn a_sound_run_has_no_breach() {
        assert_eq!(sound().breaches(), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_found() {
        type Seed = fn(&mut Evidence);
        let faults: [(&str, Seed); 10] = [
            ("each job completes once", |found| {
                found.sent.values_mut().for_each(|ends| ends.outcome = None);
            }),
            ("each job completes once", |found| {
                found
                    .sent
                    .values_mut()
                    .for_each(|ends| ends.recorded = None);
            }),
            ("each job completes once", |found| {
                found.sent.values_mut().for_each(|ends| ends.replies = 2);
            }),
            ("one call for each job", |found| found.calls += 1),
            ("one call for each job", |found| {
                let again = found.books.invoice[0].clone();
                found.books.invoice.push(again);
            }),
            ("one call for each job", |found| {
                found.books.ledger[0].outcome = AttemptOutcome::Cancelled;
            }),
            ("every cost is known", |found| {
                found.books.ledger[0].cost_usd = None;
            }),
            ("the books balance", |found| {
                found.books.ledger[0].cost_usd = Some("0.002".parse().unwrap());
            }),
            ("no job is handed back more than once", |found| {
                found.hand_backs.insert("1-0".to_owned(), 2);
            }),
            ("only what was sent runs", |found| {
                found.strangers.push(job("2-0"));
            }),
        ];
        for (rule, seed) in faults {
            let mut found = sound();
            seed(&mut found);
            let breaches = found.breaches();
            assert!(
                breaches.iter().any(|breach| breach.starts_with(rule)),
                "{rule}: {breaches:?}"
            );
        }
    }
}
