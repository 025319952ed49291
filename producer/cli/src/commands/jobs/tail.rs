//! `longshore jobs tail`: prints what happens to jobs, as it happens.

use std::{convert::Infallible, fmt, time::Duration};

use chrono::{DateTime, Utc};
use longshore_broker::{EventEntry, EventTail};
use longshore_client::{JobId, JobState, QueueName};
use longshore_protocol::{
    encryption::Keyring,
    event::{AttemptRecord, Event, JobLabels, JobRecord},
    money::Usd,
    state::AttemptOutcome,
};
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    options::{self, LabelFilter},
    output::{self, ListFormat},
    render::{
        text::{counted, one_line, or_dash},
        time::{from_unix_ms, time_of_day},
    },
    session::Session,
    waiting::{Outage, until_interrupted},
};

/// Entries of one read.
const PAGE: usize = 1000;

/// How long one read waits.
const WAIT: Duration = Duration::from_secs(1);

/// The pause before Redis is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Characters of an error that are shown.
const ERROR_HEAD: usize = 160;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only jobs that enter this state
    #[arg(long, value_parser = state)]
    state: Option<JobState>,
    #[command(flatten)]
    labels: LabelFilter,
    /// Only attempts on this platform, and jobs whose last attempt called it
    #[arg(long)]
    platform: Option<String>,
    /// Output format; JSON is a line each time in both forms
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

fn state(word: &str) -> Result<JobState, String> {
    options::word(JobState::ALL, JobState::as_str, word)
}

/// Prints until Ctrl-C, which is exit code 130. While Redis cannot be reached, it tries again.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    // If even the first connection fails, the address may be wrong.
    let mut tail = Some(session.broker().await?.events().tail().await?);
    let mut outage = Outage::default();
    let forever = async {
        loop {
            let read = read(&mut tail, session).await;
            let read = outage.tolerate(read, |text| output::note(text))?;
            if let Some(entries) = read {
                print(&entries, &arguments, &session.config.keyring);
            } else {
                tail = None;
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    };
    let ended: Option<Result<Infallible, CommandError>> =
        until_interrupted(Box::pin(forever)).await;
    match ended {
        Some(Err(error)) => Err(error),
        None => Ok(Exit::Interrupted),
    }
}

/// The next events. Opens the stream again if it was lost.
async fn read(
    tail: &mut Option<EventTail>,
    session: &Session,
) -> Result<Vec<EventEntry>, CommandError> {
    let tail = match tail {
        Some(tail) => tail,
        None => tail.insert(session.broker().await?.events().tail().await?),
    };
    Ok(tail.read(PAGE, WAIT).await?)
}

fn print(entries: &[EventEntry], arguments: &Arguments, keyring: &Keyring) {
    for entry in entries {
        let events = entry.texts.iter();
        // Another release may write events that this one cannot parse.
        let events = events.filter_map(|text| serde_json::from_str::<Event>(text).ok());
        let changes = events.map(|event| keyring.opened(event));
        for change in changes.filter_map(|event| Change::new(&entry.id, event)) {
            if !change.fits(arguments) {
                continue;
            }
            match arguments.format {
                ListFormat::Text => output::line(&change),
                ListFormat::Json | ListFormat::Jsonl => output::json_line(&change),
            }
        }
    }
}

/// What happened to a job.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    at: DateTime<Utc>,
    id: JobId,
    /// The new state; `null` if only an attempt ended: its worker died, or had lost the job.
    state: Option<JobState>,
    queue: QueueName,
    #[serde(rename = "type")]
    task_type: String,
    tenant: Option<String>,
    chain_id: Option<String>,
    /// Of the last attempt.
    platform: Option<String>,
    model: Option<String>,
    /// How the attempt ended that ended now.
    outcome: Option<AttemptOutcome>,
    attempts: u32,
    error_class: Option<String>,
    error: Option<String>,
    /// When the next attempt is due.
    due_at: Option<DateTime<Utc>>,
    /// The cost of the attempt that ended now.
    cost_usd: Option<Usd>,
}

impl Change {
    fn new(entry: &str, event: Event) -> Option<Self> {
        let ms = entry.split_once('-').and_then(|(ms, _)| ms.parse().ok());
        let at = from_unix_ms(ms?);
        match (event.job, event.attempt) {
            (Some(job), attempt) => Some(Self::of_job(at, *job, attempt.as_deref())),
            (None, Some(attempt)) => Self::of_attempt(at, *attempt),
            (None, None) => None,
        }
    }

    fn of_job(at: DateTime<Utc>, job: JobRecord, attempt: Option<&AttemptRecord>) -> Self {
        Self {
            state: Some(job.state),
            platform: job.platform,
            model: job.model,
            outcome: attempt.map(|attempt| attempt.outcome),
            attempts: job.attempts,
            error_class: job.error_class,
            error: job.error,
            due_at: job.due_at,
            cost_usd: attempt.and_then(|attempt| attempt.cost_usd),
            ..Self::of_labels(at, job.labels)
        }
    }

    fn of_attempt(at: DateTime<Utc>, attempt: AttemptRecord) -> Option<Self> {
        Some(Self {
            platform: Some(attempt.platform),
            model: Some(attempt.model),
            outcome: Some(attempt.outcome),
            attempts: attempt.attempt,
            error_class: attempt.error_class.map(|class| class.to_string()),
            error: attempt.error,
            cost_usd: attempt.cost_usd,
            ..Self::of_labels(at, attempt.labels?)
        })
    }

    fn of_labels(at: DateTime<Utc>, labels: JobLabels) -> Self {
        Self {
            at,
            id: labels.job_id,
            state: None,
            queue: labels.queue,
            task_type: labels.task_type,
            tenant: labels.tenant,
            chain_id: labels.chain_id,
            platform: None,
            model: None,
            outcome: None,
            attempts: 0,
            error_class: None,
            error: None,
            due_at: None,
            cost_usd: None,
        }
    }

    fn fits(&self, arguments: &Arguments) -> bool {
        let Arguments {
            state,
            labels,
            platform,
            ..
        } = arguments;
        let (tenant, chain_id) = (self.tenant.as_deref(), self.chain_id.as_deref());
        (state.is_none() || *state == self.state)
            && labels.fits(&self.task_type, tenant, chain_id)
            && labels
                .queue
                .as_ref()
                .is_none_or(|queue| *queue == self.queue)
            && (platform.is_none() || *platform == self.platform)
    }
}

/// `12:00:01  inv-42  retryable  openai/gpt-4o  1 attempt  overloaded: …; due 12:00:04`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = time_of_day(self.at);
        let outcome = self.outcome.map(AttemptOutcome::as_str);
        let state = self.state.map(JobState::as_str).or(outcome);
        let place = match (&self.platform, &self.model) {
            (Some(platform), Some(model)) => one_line(&format!("{platform}/{model}"), 60),
            (platform, _) => or_dash(platform.as_deref()),
        };
        let attempts = counted(self.attempts, "attempt");
        let state = state.unwrap_or("-");
        write!(f, "{time}  {}  {state}  {place}  {attempts}", self.id)?;
        let is_failure = self.state != Some(JobState::Completed);
        if let Some(class) = self.error_class.as_deref().filter(|_| is_failure) {
            write!(f, "  {}", one_line(class, 40))?;
            if let Some(error) = &self.error {
                write!(f, ": {}", one_line(error, ERROR_HEAD))?;
            }
        }
        match self.due_at {
            Some(due) => write!(f, "; due {}", time_of_day(due)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Change {
        let at: DateTime<Utc> = "2026-12-01T12:00:01Z".parse().unwrap();
        let labels = JobLabels::new(JobId::parse("inv-42").unwrap(), QueueName::default(), None);
        Change {
            state: Some(JobState::Retryable),
            platform: Some("openai".to_owned()),
            model: Some("gpt-4o".to_owned()),
            outcome: Some(AttemptOutcome::Failed),
            attempts: 1,
            error_class: Some("overloaded".to_owned()),
            error: Some("HTTP 503\nbusy".to_owned()),
            due_at: Some(at + chrono::TimeDelta::seconds(3)),
            ..Change::of_labels(at, labels)
        }
    }

    #[test]
    fn a_change_is_a_line() {
        let retried = change();
        assert_eq!(
            retried.to_string(),
            "12:00:01  inv-42  retryable  openai/gpt-4o  1 attempt  overloaded: HTTP 503 busy; due 12:00:04"
        );
        let lost = Change {
            state: None,
            outcome: Some(AttemptOutcome::Lost),
            error_class: None,
            due_at: None,
            ..change()
        };
        assert_eq!(
            lost.to_string(),
            "12:00:01  inv-42  lost  openai/gpt-4o  1 attempt"
        );
        let never_called = Change {
            state: Some(JobState::Cancelled),
            platform: None,
            model: None,
            attempts: 0,
            error_class: None,
            due_at: None,
            ..change()
        };
        assert_eq!(
            never_called.to_string(),
            "12:00:01  inv-42  cancelled  -  0 attempts"
        );
    }

    #[test]
    fn json_has_every_key() {
        let json = serde_json::to_value(change()).unwrap();
        assert_eq!(json["state"], "retryable");
        assert_eq!(json["cost_usd"], serde_json::Value::Null);
        assert_eq!(json["due_at"], "2026-12-01T12:00:04Z");
    }

    #[test]
    fn filters_must_all_fit() {
        let fits = |state: Option<JobState>, platform: Option<&str>, tenant: Option<&str>| {
            change().fits(&Arguments {
                state,
                labels: LabelFilter {
                    tenant: tenant.map(str::to_owned),
                    ..LabelFilter::default()
                },
                platform: platform.map(str::to_owned),
                format: ListFormat::Text,
            })
        };
        assert!(fits(None, None, None));
        assert!(fits(Some(JobState::Retryable), Some("openai"), None));
        assert!(!fits(Some(JobState::Completed), None, None));
        assert!(!fits(None, Some("gemini"), None));
        assert!(!fits(None, None, Some("acme")));
    }
}
