//! Circuits: models that only fail are left alone by all workers, and tried again by one of them.
//!
//! A circuit is closed (calls go), open until a time (none goes), and then half-open: one call at a time
//! probes. If it goes well, the circuit is closed; if not, it is open for twice as long.

use std::{fmt, time::Duration};

use chrono::{
    DateTime, Utc,
    serde::{ts_milliseconds, ts_milliseconds_option},
};
use longshore_policy::limits::Circuit;
use longshore_protocol::{call::ErrorClass, id::WorkerId, platform::PlatformName};
use redis::AsyncCommands as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BrokerError, Circuits, scripts};

/// Whose circuit it is: `PLATFORM/MODEL`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct CircuitName {
    /// The provider.
    pub platform: PlatformName,
    /// Its own name of the model.
    pub model: String,
}

impl CircuitName {
    /// A platform's name holds no `/`; a model's may.
    fn from_record(name: &str) -> Option<Self> {
        let (platform, model) = name.split_once('/')?;
        Some(Self {
            platform: PlatformName::from_record(platform),
            model: model.to_owned(),
        })
    }
}

impl fmt::Display for CircuitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.model)
    }
}

/// What some calls came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// When, by the server's clock; a later time than the server's is taken for its own.
    pub at: DateTime<Utc>,
    /// How many there were, failures included.
    pub calls: u64,
    /// How many failed, and how the last of them.
    pub failed: Option<(u64, ErrorClass)>,
}

/// How a circuit stands once calls were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Counted {
    /// Open until then.
    pub open_until: Option<DateTime<Utc>>,
    /// These calls opened it.
    pub opened: bool,
}

/// Whether the probe is the asker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Claim {
    /// It is, for as long as was asked; asking again renews it.
    Yes,
    /// Another worker's, until then.
    Taken(DateTime<Utc>),
    /// It is not time yet.
    Open(DateTime<Utc>),
    /// None is needed.
    Closed,
}

/// A circuit of which something failed lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CircuitReport {
    /// Whose.
    #[serde(flatten)]
    pub name: CircuitName,
    /// Absent while it is closed, and failures are being counted.
    pub open: Option<Opened>,
}

/// A circuit that is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Since when.
    #[serde(
        rename(deserialize = "opened_at"),
        deserialize_with = "ts_milliseconds::deserialize"
    )]
    pub since: DateTime<Utc>,
    /// Until when; after it, one call at a time may probe.
    #[serde(
        rename(deserialize = "retry_at"),
        deserialize_with = "ts_milliseconds::deserialize"
    )]
    pub until: DateTime<Utc>,
    /// How the last call failed.
    pub class: ErrorClass,
    /// Until when a worker has claimed the probe.
    #[serde(
        default,
        rename(deserialize = "claimed_until"),
        deserialize_with = "ts_milliseconds_option::deserialize"
    )]
    pub probing_until: Option<DateTime<Utc>>,
}

impl Circuits<'_> {
    /// Counts calls for all workers together, and opens the circuit when too many failed.
    pub async fn count_calls(
        self,
        name: &CircuitName,
        counts: Counts,
        rule: &Circuit,
    ) -> Result<Counted, BrokerError> {
        let (failed, class) = counts
            .failed
            .map_or((0, ""), |(failed, class)| (failed, class.as_str()));
        let mut call = self.call_script(&scripts::CIRCUIT_COUNT, name);
        call.arg(counts.at.timestamp_millis())
            .arg(counts.calls)
            .arg(failed)
            .arg(class)
            .arg(rule.error_percent)
            .arg(rule.min_calls)
            .arg(millis(rule.window).max(1))
            .arg(millis(rule.cooldown));
        let (until, opened): (i64, i64) = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(Counted {
            open_until: moment(until),
            opened: opened == 1,
        })
    }

    /// Claims the one probe of a circuit for `lease`, or renews the claim.
    pub async fn claim_probe(
        self,
        name: &CircuitName,
        worker: &WorkerId,
        at: DateTime<Utc>,
        lease: Duration,
    ) -> Result<Claim, BrokerError> {
        let mut call = self.call_script(&scripts::CIRCUIT_CLAIM_PROBE, name);
        call.arg(worker.as_str())
            .arg(at.timestamp_millis())
            .arg(millis(lease));
        let (word, until, claimed): (String, i64, i64) = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(match (word.as_str(), moment(until), moment(claimed)) {
            ("yes", ..) => Claim::Yes,
            ("taken", _, Some(claimed)) => Claim::Taken(claimed),
            ("open", Some(until), _) => Claim::Open(until),
            _ => Claim::Closed,
        })
    }

    /// Ends the probe that `worker` claimed: it failed, or (`None`) the model is well. Until when the
    /// circuit is open now.
    pub async fn end_probe(
        self,
        name: &CircuitName,
        worker: &WorkerId,
        at: DateTime<Utc>,
        failed: Option<ErrorClass>,
        rule: &Circuit,
    ) -> Result<Option<DateTime<Utc>>, BrokerError> {
        let mut call = self.call_script(&scripts::CIRCUIT_END_PROBE, name);
        call.arg(worker.as_str())
            .arg(at.timestamp_millis())
            .arg(failed.map_or("", ErrorClass::as_str))
            .arg(millis(rule.max_cooldown));
        let until: i64 = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(moment(until))
    }

    /// The circuits of which something failed lately, by name.
    pub async fn list(self) -> Result<Vec<CircuitReport>, BrokerError> {
        let key = self.broker.keys().circuits();
        let rows: Vec<(String, String)> = self
            .broker
            .shared()
            .hgetall(&key)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let mut reports = rows
            .iter()
            .map(|(name, text)| {
                report(name, text)
                    .map_err(|reason| BrokerError::foreign(format!("{key} {name}"), reason))
            })
            .collect::<Result<Vec<_>, _>>()?;
        reports.sort_by_cached_key(|report| report.name.to_string());
        Ok(reports)
    }

    fn call_script<'a>(
        self,
        script: &'a redis::Script,
        name: &CircuitName,
    ) -> redis::ScriptInvocation<'a> {
        let mut call = script.key(self.broker.keys().circuits());
        call.arg(self.broker.keys().prefix()).arg(name.to_string());
        call
    }
}

/// 0 is no time.
fn moment(ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms).filter(|_| ms > 0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn report(name: &str, text: &str) -> Result<CircuitReport, String> {
    let name = CircuitName::from_record(name).ok_or("its name has no `/`")?;
    let record: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // A closed circuit has counts alone.
    let open = record
        .get("retry_at")
        .is_some()
        .then(|| Opened::deserialize(&record))
        .transpose()
        .map_err(|error| error.to_string())?;
    Ok(CircuitReport { name, open })
}
