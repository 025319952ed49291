//! The definition of a recurring job.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use longshore_protocol::{
    envelope::{MessageLimits, RawMessage, parse_all},
    id::{CronName, QueueName},
};
use longshore_settings::duration::format_duration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Missed, Timing};

#[derive(Debug, Clone, PartialEq)]
pub struct CronDefinition {
    pub timing: Timing,
    /// What happens to missed ticks.
    pub missed: Missed,
    /// The queue of its jobs.
    pub queue: QueueName,
    /// The job in message form, without an id.
    pub job: Map<String, Value>,
}

/// A recurring job as written in a file, in a command, or in Redis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CronDefinitionText {
    /// A cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The time between two ticks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// The time zone of the expression. Default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `skip`, `once` or `all`. Default `once`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<String>,
    /// A queue name. Default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    pub job: Map<String, Value>,
}

/// An error in a recurring job, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {message}")]
pub struct CronFault {
    /// The field of [`CronDefinitionText`] with the error.
    pub field: &'static str,
    /// The field of the job, if the error is in one.
    pub job_field: Option<String>,
    pub message: String,
}

/// All errors in a recurring job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct CronFaults(pub Vec<CronFault>);

impl CronFaults {
    fn from_one(field: &'static str, message: impl Into<String>) -> Self {
        Self(vec![CronFault::new(field, message)])
    }
}

impl CronFault {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            job_field: None,
            message: message.into(),
        }
    }
}

/// Why a job is enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunReason {
    /// A tick was due.
    Tick(DateTime<Utc>),
    /// A person requested a run at this time.
    Asked(DateTime<Utc>),
}

impl RunReason {
    /// The id of the job of this run.
    pub fn job_id(self, name: &CronName) -> String {
        match self {
            Self::Tick(_) => format!("cron:{name}:{}", self.time()),
            Self::Asked(_) => format!("cron:{name}:run:{}", self.time()),
        }
    }

    fn time(self) -> String {
        match self {
            Self::Tick(tick) => tick.to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::Asked(at) => at.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }
}

impl CronDefinition {
    /// Parses a written definition. [`CronDefinition::check`] checks the job in it.
    pub fn read(written: &CronDefinitionText) -> Result<Self, CronFaults> {
        let missed = match written.missed.as_deref() {
            None => Ok(Missed::Once),
            Some(word) => Missed::from_name(word).ok_or_else(|| {
                CronFault::new(
                    "missed",
                    format!("expected one of skip, once, all, but got `{word}`"),
                )
            }),
        };
        let queue = match written.queue.as_deref() {
            None => Ok(QueueName::default()),
            Some(name) => {
                QueueName::parse(name).map_err(|bad| CronFault::new("queue", bad.to_string()))
            }
        };
        match (timing(written), missed, queue) {
            (Ok(timing), Ok(missed), Ok(queue)) => Ok(Self {
                timing,
                missed,
                queue,
                job: written.job.clone(),
            }),
            (timing, missed, queue) => {
                let others = [missed.err(), queue.err()].into_iter().flatten();
                let timing = timing.err().into_iter().flatten();
                Err(CronFaults(timing.chain(others).collect()))
            }
        }
    }

    /// Parses a written definition and checks the job in it. The error has what is wrong with either.
    pub fn read_checked(
        written: &CronDefinitionText,
        name: &CronName,
        limits: &MessageLimits,
    ) -> Result<Self, CronFaults> {
        let mut faults = match Self::read(written) {
            Ok(definition) => return definition.check(name, limits).map(|()| definition),
            Err(faults) => faults,
        };
        // The job is checked whenever it runs.
        let job_alone = Self {
            timing: Timing::Every(Duration::from_hours(1)),
            missed: Missed::Once,
            queue: QueueName::default(),
            job: written.job.clone(),
        };
        if let Err(of_job) = job_alone.check(name, limits) {
            faults.0.extend(of_job.0);
        }
        Err(faults)
    }

    /// The written form of the definition.
    pub fn written(&self) -> CronDefinitionText {
        let (schedule, every, timezone) = match &self.timing {
            Timing::Schedule { text, zone, .. } => {
                (Some(text.clone()), None, Some(zone.name().to_owned()))
            }
            Timing::Every(step) => (None, Some(format_duration(*step)), None),
        };
        CronDefinitionText {
            schedule,
            every,
            timezone,
            missed: Some(self.missed.to_string()),
            queue: Some(self.queue.to_string()),
            job: self.job.clone(),
        }
    }

    /// Whether workers accept its jobs.
    pub fn check(&self, name: &CronName, limits: &MessageLimits) -> Result<(), CronFaults> {
        if self.job.contains_key("id") {
            let message = "expected a job without `id`: each run gets one of its own, made of the name \
                           and the time";
            return Err(CronFaults::from_one("job", message));
        }
        let metadata = self.job.get("metadata").and_then(Value::as_object);
        if metadata.is_some_and(|metadata| metadata.contains_key(METADATA)) {
            let message =
                "expected a job without `metadata.cron`: each run says there which tick it is";
            return Err(CronFaults::from_one("job", message));
        }
        let text = self.message(name, RunReason::Asked(DateTime::UNIX_EPOCH));
        let message = RawMessage {
            fields: vec![(b"job".to_vec(), text.into_bytes())],
        };
        parse_all(&message, limits)
            .map(|_| ())
            .map_err(|malformed| {
                let faults = malformed.into_iter().map(|malformed| {
                    let field = malformed.field.as_ref();
                    let field = field.map(|field| format!("`{field}`: "));
                    let message = format!("{}{}", field.unwrap_or_default(), malformed.message);
                    CronFault {
                        job_field: malformed.field,
                        ..CronFault::new("job", message)
                    }
                });
                CronFaults(faults.collect())
            })
    }

    /// The message of one run. The same tick always has the same id and content.
    pub fn message(&self, name: &CronName, occasion: RunReason) -> String {
        let what = match occasion {
            RunReason::Tick(_) => json!({"name": name, "tick": occasion.time()}),
            RunReason::Asked(_) => json!({"name": name, "asked": occasion.time()}),
        };
        let mut job = self.job.clone();
        job.insert("id".to_owned(), Value::String(occasion.job_id(name)));
        let metadata = job
            .entry("metadata")
            .and_modify(|metadata| {
                if metadata.is_null() {
                    *metadata = Value::Object(Map::new());
                }
            })
            .or_insert_with(|| Value::Object(Map::new()));
        // `check` reports metadata that is not an object.
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert(METADATA.to_owned(), what);
        }
        Value::Object(job).to_string()
    }
}

/// The member of a run's metadata that names the recurring job and the time.
const METADATA: &str = "cron";

fn timing(written: &CronDefinitionText) -> Result<Timing, Vec<CronFault>> {
    match (&written.schedule, &written.every) {
        (Some(schedule), None) => {
            let zone = zone(written.timezone.as_deref());
            // Checked in any zone.
            let timing = Timing::schedule(schedule, *zone.as_ref().unwrap_or(&Tz::UTC))
                .map_err(|bad| CronFault::new("schedule", bad.to_string()));
            match (timing, zone) {
                (Ok(timing), Ok(_)) => Ok(timing),
                (timing, zone) => Err([timing.err(), zone.err()].into_iter().flatten().collect()),
            }
        }
        (None, Some(every)) => {
            let message = "it is for a `schedule`; `every` counts from 1970, UTC, in any zone";
            let useless = written.timezone.is_some();
            let useless = useless.then(|| CronFault::new("timezone", message));
            let timing =
                Timing::every(every).map_err(|bad| CronFault::new("every", bad.to_string()));
            match (timing, useless) {
                (Ok(timing), None) => Ok(timing),
                (timing, useless) => Err(timing.err().into_iter().chain(useless).collect()),
            }
        }
        (Some(_), Some(_)) => Err(vec![CronFault::new(
            "every",
            "expected `schedule` or `every`, but got both",
        )]),
        (None, None) => Err(vec![CronFault::new(
            "schedule",
            "expected a `schedule`, such as \"0 3 * * *\", or `every`, such as 30s",
        )]),
    }
}

fn zone(name: Option<&str>) -> Result<Tz, CronFault> {
    let Some(name) = name else {
        return Ok(Tz::UTC);
    };
    name.parse().map_err(|_| {
        let message =
            format!("expected a time zone, such as UTC or Europe/Berlin, but got `{name}`");
        CronFault::new("timezone", message)
    })
}
