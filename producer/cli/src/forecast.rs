//! Estimates the usage of quotas and budgets by a batch, before it is enqueued.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError, MeterReport, MeterUsage, WindowUsage};
use longshore_config::Config;
use longshore_ledger::AnswerLength;
use longshore_policy::{
    limits::{AtLimit, CallBound, MeterAmount, MeterName, Meters, Unit},
    routing::Router,
    tokens,
};
use longshore_protocol::{chain::ChainId, envelope::Envelope};

use crate::{
    confirm,
    error::CommandError,
    output,
    render::{
        limit::warning::is_filled_to,
        money::Amount,
        text::{counted, grouped, one_line},
        time::minute,
    },
    session::Session,
};

/// Maximum number of warnings shown; a batch may use the budgets of many tenants.
const SHOWN: usize = 10;

/// Answers of this time show how long answers usually are.
const LEARNED_FROM: TimeDelta = TimeDelta::days(30);

/// A forecast waits for Postgres no longer than this.
const LEDGER_LIMIT: Duration = Duration::from_secs(1);

/// How long answers usually are, by model and type of job.
#[derive(Debug, Default)]
struct AnswerLengths(HashMap<String, HashMap<String, u32>>);

impl AnswerLengths {
    /// What the ledger knows; nothing if it does not answer.
    async fn read(session: &Session, now: DateTime<Utc>) -> Self {
        let lengths = async {
            let ledger = session.ledger().await.ok()?;
            ledger.answer_lengths(now - LEARNED_FROM).await.ok()
        };
        let lengths = tokio::time::timeout(LEDGER_LIMIT, lengths).await;
        lengths
            .ok()
            .flatten()
            .unwrap_or_default()
            .into_iter()
            .collect()
    }

    /// The expected tokens of an answer, if enough like it are known.
    fn of(&self, model: &str, task_type: &str) -> Option<u32> {
        self.0.get(model)?.get(task_type).copied()
    }
}

impl FromIterator<AnswerLength> for AnswerLengths {
    fn from_iter<I: IntoIterator<Item = AnswerLength>>(lengths: I) -> Self {
        let mut found = Self::default();
        for length in lengths {
            let tokens = u32::try_from(length.tokens).unwrap_or(u32::MAX);
            let of_model = found.0.entry(length.model).or_default();
            of_model.insert(length.task_type, tokens);
        }
        found
    }
}

/// Whether the batch may be enqueued: `false` if it would reach the highest alert threshold of a limit and the
/// user declines. Warns before anything is enqueued, so that people can decide before it costs anything.
pub(crate) async fn may_enqueue(
    forecast: &Forecast,
    alert: Option<u8>,
    yes: bool,
    broker: &Broker,
) -> Result<bool, CommandError> {
    let Some(alert) = alert else {
        return Ok(true);
    };
    let warnings = match broker.limits().meters(&forecast.amounts()).await {
        // The Redis user of a producer may not have permission to read them.
        Err(error @ BrokerError::Command { .. }) => {
            output::warning(format_args!("quotas and budgets were not checked: {error}"));
            return Ok(true);
        }
        reports => forecast.warnings(&reports?, alert),
    };
    if warnings.is_empty() {
        return Ok(true);
    }
    let text = warnings.join("\n");
    if yes {
        output::warning(text);
        return Ok(true);
    }
    if !confirm::can_ask() {
        return Err(CommandError::Input(format!(
            "{text}\nNothing was enqueued: there is no terminal to ask for confirmation; add --yes to continue."
        )));
    }
    confirm::ask(&format!("Warning: {text} Continue?"))
}

/// What the tasks of a batch would consume of each limit if the first candidate answered each task.
#[derive(Debug)]
pub(crate) struct Forecast {
    batch: ChainId,
    now: DateTime<Utc>,
    meters: Meters,
    /// `None` if there are no limits.
    router: Option<Router>,
    lengths: AnswerLengths,
    /// Tasks, and those of them whose answer has an assumed length.
    tasks: u64,
    assumed: u64,
    /// By meter: an amount of one task, and the sum of all tasks.
    sums: BTreeMap<String, (MeterAmount, u64)>,
}

impl Forecast {
    pub(crate) fn new(config: &Config, now: DateTime<Utc>, batch: ChainId) -> Self {
        let meters = Meters::new(&config.catalog, &config.budgets, &config.queue_limits);
        let limited = !meters.all(now).is_empty() || meters.has_budgets_of_each();
        Self {
            batch,
            now,
            meters,
            router: limited
                .then(|| Router::new(&config.catalog, &config.routing, now.date_naive())),
            lengths: AnswerLengths::default(),
            tasks: 0,
            assumed: 0,
            sums: BTreeMap::new(),
        }
    }

    /// Whether there are limits that tasks could use.
    pub(crate) fn has_limits(&self) -> bool {
        self.router.is_some()
    }

    /// Expects answers as long as those in the ledger. Without limits there is nothing to expect, and nothing is read.
    pub(crate) async fn read_lengths(&mut self, session: &Session) {
        if self.router.is_some() {
            self.lengths = AnswerLengths::read(session, self.now).await;
        }
    }

    /// Adds a task.
    pub(crate) fn add(&mut self, envelope: &Envelope) {
        let Some(router) = &self.router else { return };
        let Ok(decision) = router.decide(envelope, router.measure(envelope)) else {
            return;
        };
        let Some(first) = decision.candidates.first() else {
            return;
        };
        let prompt = tokens::Prompt::of(envelope).upper_bound(first.model);
        let most = envelope.params.max_tokens;
        let learned = self.lengths.of(&first.model.model, &envelope.task_type);
        self.tasks += 1;
        self.assumed += u64::from(learned.is_none() && most.is_none());
        let answer = learned
            .or(most)
            .unwrap_or(tokens::TYPICAL_ANSWER)
            .min(most.unwrap_or(u32::MAX))
            .min(first.model.max_output_tokens);
        let costs = CallBound {
            tokens: prompt.tokens + u64::from(answer),
            upper_bound: first.model.upper_bound(prompt, u64::from(answer), self.now),
        };
        let chain = envelope.chain_id.as_deref();
        let chain = chain.unwrap_or(self.batch.as_str());
        let tenant = envelope.tenant.as_deref();
        for take in self
            .meters
            .amounts(first.provider, tenant, Some(chain), &costs, self.now)
        {
            if let MeterAmount::Window { amount, .. } = &take {
                let amount = *amount;
                let (_, sum) = self
                    .sums
                    .entry(take.meter().to_owned())
                    .or_insert((take, 0));
                *sum = sum.saturating_add(amount);
            }
        }
    }

    fn amounts(&self) -> Vec<MeterAmount> {
        self.sums.values().map(|(take, _)| take.clone()).collect()
    }

    /// The limits that would reach `alert` percent; `reports` are those of [`Forecast::amounts`].
    fn warnings(&self, reports: &[MeterReport], alert: u8) -> Vec<String> {
        let mut after: Vec<(&str, WindowUsage)> = Vec::new();
        for (report, (_, sum)) in reports.iter().zip(self.sums.values()) {
            if let MeterUsage::Window(fill) = &report.fill {
                let fill = fill.and(*sum);
                if is_filled_to(&fill, alert) {
                    after.push((&report.meter, fill));
                }
            }
        }
        after.sort_by_key(|(_, fill)| std::cmp::Reverse(fill.percent()));
        let more = after.len().saturating_sub(SHOWN);
        let shown = after.iter().take(SHOWN);
        let mut warnings: Vec<String> = shown
            .map(|(meter, fill)| describe_warning(meter, fill))
            .collect();
        if more > 0 {
            warnings.push(format!("… and {more} more limits."));
        }
        let is_of_money = after.iter().any(|(_, fill)| fill.unit == Unit::NanoUsd);
        if is_of_money && self.assumed > 0 {
            warnings.push(format!(
                "For {} of {}, the ledger has too few similar answers; each counts as {} tokens.",
                grouped(self.assumed),
                counted(self.tasks, "task"),
                grouped(u64::from(tokens::TYPICAL_ANSWER))
            ));
        }
        warnings
    }
}

fn describe_warning(meter: &str, fill: &WindowUsage) -> String {
    let name = MeterName::parse(meter);
    let subject = match name.what() {
        Some(_) => format!("{} quota", name.subject()),
        None => one_line(&name.to_string(), 120),
    };
    let amount = |units| Amount::new(fill.unit, units);
    format!(
        "{subject} at {}% ({}/{}) after this batch{}.",
        fill.percent(),
        amount(fill.taken()),
        amount(fill.limit),
        describe_excess(fill)
    )
}

/// What happens to the tasks that exceed the limit.
fn describe_excess(fill: &WindowUsage) -> String {
    if !fill.hard || fill.taken() <= fill.limit {
        return String::new();
    }
    match (fill.at_limit, fill.resets_at) {
        (AtLimit::Wait, Some(at)) => format!("; tasks over the limit wait until {}", minute(at)),
        (AtLimit::Wait, None) => "; tasks over the limit wait until it is raised".to_owned(),
        (AtLimit::Free, _) => "; tasks over the limit go to free models".to_owned(),
        (AtLimit::DeadLetter, _) => "; tasks over the limit become dead letters".to_owned(),
    }
}

#[cfg(test)]
mod tests;
