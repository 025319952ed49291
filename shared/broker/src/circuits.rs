//! Circuits: no worker calls a model whose calls fail, until a probe of one worker succeeds.
//!
//! A circuit is closed (calls are allowed), open until a time (no calls), and then half-open: one call at a
//! time probes. If the probe succeeds, the circuit closes; if not, it stays open for twice as long.

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

/// The name of a circuit: `PLATFORM/MODEL`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct CircuitName {
    pub platform: PlatformName,
    /// The provider's name of the model.
    pub model: String,
}

impl CircuitName {
    /// The name of a platform contains no `/`; that of a model may.
    fn from_stored(name: &str) -> Option<Self> {
        let (platform, model) = name.split_once('/')?;
        Some(Self {
            platform: PlatformName::from_stored(platform),
            model: model.to_owned(),
        })
    }
}

impl fmt::Display for CircuitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.model)
    }
}

/// The results of some calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// When they ended, by the server's clock; a time in the future counts as now.
    pub at: DateTime<Utc>,
    /// The number of calls, including failed ones.
    pub calls: u64,
    /// The number of failed calls and the class of the last failure.
    pub failed: Option<(u64, ErrorClass)>,
}

/// The state of a circuit after calls were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct CircuitCount {
    /// The end of its open time, if it is open.
    pub open_until: Option<DateTime<Utc>>,
    /// Whether these calls opened it.
    pub opened: bool,
}

/// The result of claiming a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Claim {
    /// Claimed, for the requested time; claiming again renews it.
    Yes,
    /// Another worker holds the claim until then.
    Taken(DateTime<Utc>),
    /// The circuit is open until then.
    Open(DateTime<Utc>),
    /// The circuit is closed: no probe is needed.
    Closed,
}

impl Claim {
    fn from_reply(
        word: &str,
        open_until: Option<DateTime<Utc>>,
        claimed_until: Option<DateTime<Utc>>,
    ) -> Result<Self, BrokerError> {
        match (word, open_until, claimed_until) {
            ("yes", ..) => Ok(Self::Yes),
            ("taken", _, Some(claimed)) => Ok(Self::Taken(claimed)),
            ("open", Some(until), _) => Ok(Self::Open(until)),
            ("closed", ..) => Ok(Self::Closed),
            _ => Err(BrokerError::unexpected_reply("circuit_claim_probe", word)),
        }
    }
}

/// A circuit with a recent failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CircuitReport {
    #[serde(flatten)]
    pub name: CircuitName,
    /// `None` while the circuit is closed and counts failures.
    pub open: Option<OpenCircuit>,
}

/// A circuit that is open or half-open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCircuit {
    /// When it opened.
    #[serde(
        rename(deserialize = "opened_at"),
        deserialize_with = "ts_milliseconds::deserialize"
    )]
    pub since: DateTime<Utc>,
    /// The end of its open time; after it, one call at a time may probe.
    #[serde(
        rename(deserialize = "retry_at"),
        deserialize_with = "ts_milliseconds::deserialize"
    )]
    pub until: DateTime<Utc>,
    /// The class of the last failure.
    pub class: ErrorClass,
    /// Until when a worker holds the claim of the probe.
    #[serde(
        default,
        rename(deserialize = "claimed_until"),
        deserialize_with = "ts_milliseconds_option::deserialize"
    )]
    pub probing_until: Option<DateTime<Utc>>,
}

impl Circuits<'_> {
    /// Counts calls for all workers, and opens the circuit if too many failed.
    pub async fn count_calls(
        self,
        name: &CircuitName,
        counts: Counts,
        rule: &Circuit,
    ) -> Result<CircuitCount, BrokerError> {
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
        Ok(CircuitCount {
            open_until: moment(until),
            opened: opened == 1,
        })
    }

    /// Claims the probe of a circuit for `lease`, or renews the claim.
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
        Claim::from_reply(&word, moment(until), moment(claimed))
    }

    /// Ends the probe that `worker` claimed: with a failure, or (`None`) because the model is healthy. Returns
    /// until when the circuit is open now.
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

    /// The circuits with a recent failure, by name.
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

/// `None` for 0.
fn moment(ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms).filter(|_| ms > 0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn report(name: &str, text: &str) -> Result<CircuitReport, String> {
    let name = CircuitName::from_stored(name).ok_or("its name has no `/`")?;
    let record: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // A closed circuit stores only counts.
    let open = record
        .get("retry_at")
        .is_some()
        .then(|| OpenCircuit::deserialize(&record))
        .transpose()
        .map_err(|error| error.to_string())?;
    Ok(CircuitReport { name, open })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_to_a_claim_is_parsed() {
        let (until, claimed) = (moment(1000), moment(2000));
        let cases = [
            ("yes", Claim::Yes),
            ("taken", Claim::Taken(claimed.unwrap())),
            ("open", Claim::Open(until.unwrap())),
            ("closed", Claim::Closed),
        ];
        check_words("circuit_claim_probe", &cases, |word| {
            Claim::from_reply(word, until, claimed)
        });
        assert!(Claim::from_reply("open", None, None).is_err());
        assert!(Claim::from_reply("taken", until, None).is_err());
    }
}
