//! The replay rules of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CircuitReport};
use longshore_config::Config;
use longshore_policy::replay::{ReplayRule, ReplayWhen};
use longshore_protocol::{
    clock::local_time,
    dead_letter::{
        DeadLetterCursor, DeadLetterOrder, DeadLetterQuery, PreparedReplay, StoredDeadLetter,
    },
};
use longshore_service::instruments::DEAD_LETTERS_REPLAYED;

/// Dead letters that are replayed at once.
const BATCH: usize = 250;

/// Dead letters that a rule scans in one run: a rule that matches none of a million must not occupy Redis.
const MAX_SCANNED: usize = 4_000;

/// The position of each rule in the dead letters.
#[derive(Debug, Default)]
pub(super) struct ReplayRules {
    /// By rule: the last dead letter that it scanned. A rule without one starts at the oldest.
    positions: BTreeMap<String, DeadLetterCursor>,
}

impl ReplayRules {
    /// Replays the dead letters that match a rule and that it allows now.
    pub(super) async fn apply(
        &mut self,
        broker: &Broker,
        config: &Config,
    ) -> Result<(), BrokerError> {
        let rules = &config.replay_rules;
        self.positions
            .retain(|name, _| rules.iter().any(|rule| rule.name == *name));
        if rules.is_empty() || broker.dead_letters().count().await? == 0 {
            return Ok(());
        }
        let now_ms = broker.server().time_ms().await?;
        let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
        let mut health = PlatformHealth::from_circuits(&broker.circuits().list().await?, now);
        for rule in rules {
            let replayed = self
                .apply_rule(rule, &mut health, now_ms, broker, config)
                .await?;
            if replayed > 0 {
                DEAD_LETTERS_REPLAYED.add([&rule.name], replayed as u64);
                tracing::info!(
                    rule = rule.name,
                    replayed,
                    "dead letters replayed by a rule"
                );
            }
        }
        Ok(())
    }

    async fn apply_rule(
        &mut self,
        rule: &ReplayRule,
        health: &mut PlatformHealth,
        now_ms: i64,
        broker: &Broker,
        config: &Config,
    ) -> Result<usize, BrokerError> {
        let (_, mut room) = broker.dead_letters().replay_by_rule(rule, &[]).await?;
        let (mut replayed, mut scanned) = (0, 0);
        while room > 0 && scanned < MAX_SCANNED {
            let after = self.positions.remove(&rule.name);
            let query = candidates(rule, health, now_ms, config, after);
            let page = broker.dead_letters().page(&query, room.min(BATCH)).await?;
            scanned += page.scanned;
            let ready: Vec<PreparedReplay> = page
                .found
                .iter()
                .filter(|letter| health.allows(rule, letter))
                .filter_map(|letter| {
                    let limits = &config.limits;
                    PreparedReplay::new(letter, limits, broker.keyring(), local_time())
                })
                .collect();
            if !ready.is_empty() {
                let count;
                (count, room) = broker.dead_letters().replay_by_rule(rule, &ready).await?;
                replayed += count;
            }
            let Some(next) = page.next else {
                break;
            };
            self.positions.insert(rule.name.clone(), next);
        }
        Ok(replayed)
    }
}

/// The dead letters that a rule may replay now: old enough, and not of a platform that is down.
fn candidates(
    rule: &ReplayRule,
    health: &PlatformHealth,
    now_ms: i64,
    config: &Config,
    after: Option<DeadLetterCursor>,
) -> DeadLetterQuery {
    let mut filter = rule.filter.clone();
    let min_age = match rule.when {
        ReplayWhen::Healthy => {
            filter.not_platforms = health.down.iter().cloned().collect();
            config.circuit.cooldown
        }
        ReplayWhen::After(age) => age,
    };
    let min_age_ms = i64::try_from(min_age.as_millis()).unwrap_or(i64::MAX);
    DeadLetterQuery {
        filter,
        span: 0..=now_ms.saturating_sub(min_age_ms),
        order: DeadLetterOrder::OldestFirst,
        after,
    }
}

/// The platforms whose circuit is not closed.
#[derive(Debug, Default, PartialEq, Eq)]
struct PlatformHealth {
    /// The circuit is open, or a call probes it.
    down: BTreeSet<String>,
    /// The circuit accepts one call as a probe. If no other job comes, a dead letter is the probe.
    half_open: BTreeSet<String>,
}

impl PlatformHealth {
    fn from_circuits(circuits: &[CircuitReport], now: DateTime<Utc>) -> Self {
        let mut health = Self::default();
        for circuit in circuits {
            let Some(open) = &circuit.open else { continue };
            let name = circuit.name.platform.to_string();
            if open.until > now || open.probing_until.is_some_and(|until| until > now) {
                health.down.insert(name);
            } else {
                health.half_open.insert(name);
            }
        }
        health
    }

    /// Whether a rule may replay a dead letter now. A half-open circuit allows one per run.
    fn allows(&mut self, rule: &ReplayRule, (_, letter, _): &StoredDeadLetter) -> bool {
        let Some(platform) = &letter.record.platform else {
            return true;
        };
        if rule.when != ReplayWhen::Healthy {
            return true;
        }
        if self.down.contains(platform) {
            return false;
        }
        if self.half_open.remove(platform) {
            self.down.insert(platform.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longshore_broker::{CircuitName, OpenCircuit};
    use longshore_protocol::{
        call::ErrorClass,
        checkpoint::Checkpoint,
        dead_letter::{DeadLetter, DeadLetterFilter, StoredMessage},
        event::DeadLetterRecord,
        id::{EntryId, JobId, QueueName},
        platform::PlatformName,
    };

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn circuit(platform: &str, until: Option<i64>, probing_until: Option<i64>) -> CircuitReport {
        CircuitReport {
            name: CircuitName {
                platform: PlatformName::parse(platform).unwrap(),
                model: "m".to_owned(),
            },
            open: until.map(|until| OpenCircuit {
                since: at(0),
                until: at(until),
                class: ErrorClass::Overloaded,
                probing_until: probing_until.map(at),
            }),
        }
    }

    fn letter(platform: Option<&str>) -> StoredDeadLetter {
        let id = JobId::parse("a").unwrap();
        let letter = DeadLetter {
            record: DeadLetterRecord {
                id: id.clone(),
                entry_id: EntryId::from_stored("1-0"),
                queue: QueueName::default(),
                reason: "overloaded".to_owned(),
                error: String::new(),
                at: at(0),
                task_type: None,
                platform: platform.map(str::to_owned),
                tenant: None,
                chain_id: None,
                attempts: 1,
            },
            message: StoredMessage::whole(&[]),
            checkpoint: Checkpoint::fresh(id, at(0)),
        };
        (0, letter, String::new())
    }

    fn rule(when: ReplayWhen) -> ReplayRule {
        ReplayRule {
            name: "again".to_owned(),
            filter: DeadLetterFilter::default(),
            when,
            per_minute: 60,
        }
    }

    #[test]
    fn letters_of_a_platform_that_is_down_stay_and_one_probes_a_half_open_circuit() {
        let circuits = [
            circuit("counted", None, None),
            circuit("open", Some(20), None),
            circuit("probed", Some(5), Some(20)),
            circuit("due", Some(5), None),
        ];
        let mut health = PlatformHealth::from_circuits(&circuits, at(10));
        let healthy = rule(ReplayWhen::Healthy);
        for (platform, allowed) in [
            (Some("counted"), true),
            (Some("closed"), true),
            (None, true),
            (Some("open"), false),
            (Some("probed"), false),
            (Some("due"), true),
            (Some("due"), false),
        ] {
            assert_eq!(
                health.allows(&healthy, &letter(platform)),
                allowed,
                "{platform:?}"
            );
        }
        let later = rule(ReplayWhen::After(Duration::from_secs(1)));
        assert!(health.allows(&later, &letter(Some("open"))));
    }
}
