//! Dead letters that are replayed by the rules of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CircuitReport};
use longshore_config::Config;
use longshore_policy::replay::{ReplayRule, ReplayWhen};
use longshore_protocol::dead_letter::{DeadCursor, DeadOrder, DeadQuery, Replaying, Standing};

/// The most letters that are replayed at once.
const PAGE: usize = 250;

/// Letters after which a rule stops to look until the next round: with a million of them, of which none
/// fits, Redis is to have other things to do.
const LOOKED: usize = 4_000;

/// The rules, and how far each has looked.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// By rule: the last letter that was looked at; absent at the beginning of the letters.
    seen: BTreeMap<String, DeadCursor>,
}

impl Rules {
    /// Replays what fits and may go now.
    pub(crate) async fn apply(
        &mut self,
        broker: &Broker,
        config: &Config,
    ) -> Result<(), BrokerError> {
        let rules = &config.replay_rules;
        self.seen
            .retain(|name, _| rules.iter().any(|rule| rule.name == *name));
        if rules.is_empty() || broker.dead_letters().count().await? == 0 {
            return Ok(());
        }
        let now_ms = broker.server().time_ms().await?;
        let mut health = Health::of(
            &broker.circuits().list().await?,
            DateTime::from_timestamp_millis(now_ms).unwrap_or_default(),
        );
        for rule in rules {
            let replayed = self
                .apply_one(rule, &mut health, now_ms, broker, config)
                .await?;
            if replayed > 0 {
                let name = rule.name.clone();
                metrics::counter!("longshore_dead_letters_replayed_total", "rule" => name)
                    .increment(replayed as u64);
                tracing::info!(
                    rule = rule.name,
                    replayed,
                    "dead letters are replayed by a rule"
                );
            }
        }
        Ok(())
    }

    async fn apply_one(
        &mut self,
        rule: &ReplayRule,
        health: &mut Health,
        now_ms: i64,
        broker: &Broker,
        config: &Config,
    ) -> Result<usize, BrokerError> {
        let (_, mut room) = broker.dead_letters().replay_by_rule(rule, &[]).await?;
        let (mut replayed, mut looked) = (0, 0);
        while room > 0 && looked < LOOKED {
            let query = query(rule, health, now_ms, config, self.seen.remove(&rule.name));
            let page = broker.dead_letters().page(&query, room.min(PAGE)).await?;
            looked += page.looked;
            let ready: Vec<Replaying> = page
                .found
                .iter()
                .filter(|letter| health.lets(rule, letter))
                .filter_map(|letter| Replaying::new(letter, &config.limits, Utc::now()))
                .collect();
            if !ready.is_empty() {
                let some;
                (some, room) = broker.dead_letters().replay_by_rule(rule, &ready).await?;
                replayed += some;
            }
            let Some(next) = page.next else {
                break;
            };
            self.seen.insert(rule.name.clone(), next);
        }
        Ok(replayed)
    }
}

/// What a rule looks for now: what has lain there for long enough, but not of those who are down.
fn query(
    rule: &ReplayRule,
    health: &Health,
    now_ms: i64,
    config: &Config,
    after: Option<DeadCursor>,
) -> DeadQuery {
    let mut filter = rule.filter.clone();
    let rest = match rule.when {
        ReplayWhen::Healthy => {
            filter.not_platforms = health.down.iter().cloned().collect();
            config.circuit.cooldown
        }
        ReplayWhen::After(rest) => rest,
    };
    let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
    DeadQuery {
        filter,
        span: 0..=now_ms.saturating_sub(rest),
        order: DeadOrder::OldestFirst,
        after,
    }
}

/// Which platforms have an open circuit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Health {
    /// Nobody may call them.
    down: BTreeSet<String>,
    /// One call may try whether they are up again. Where no other job comes, it is that of a letter.
    tried: BTreeSet<String>,
}

impl Health {
    fn of(circuits: &[CircuitReport], now: DateTime<Utc>) -> Self {
        let mut health = Self::default();
        for circuit in circuits {
            let Some(open) = &circuit.open else { continue };
            let name = circuit.name.platform.to_string();
            if open.until > now || open.probing_until.is_some_and(|until| until > now) {
                health.down.insert(name);
            } else {
                health.tried.insert(name);
            }
        }
        health
    }

    /// Whether a letter may go now; of those whose platform is to be tried, one a round.
    fn lets(&mut self, rule: &ReplayRule, (_, letter, _): &Standing) -> bool {
        let Some(platform) = &letter.record.platform else {
            return true;
        };
        if rule.when != ReplayWhen::Healthy {
            return true;
        }
        if self.down.contains(platform) {
            return false;
        }
        if self.tried.remove(platform) {
            self.down.insert(platform.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longshore_broker::{CircuitName, Opened};
    use longshore_protocol::{
        call::ErrorClass,
        checkpoint::Resume,
        dead_letter::{DeadFilter, Kept, Letter},
        event::DeadRecord,
        id::{JobId, Place, QueueName},
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
            open: until.map(|until| Opened {
                since: at(0),
                until: at(until),
                class: ErrorClass::Overloaded,
                probing_until: probing_until.map(at),
            }),
        }
    }

    fn letter(platform: Option<&str>) -> Standing {
        let id = JobId::parse("a").unwrap();
        let letter = Letter {
            record: DeadRecord {
                id: id.clone(),
                place: Place::from_record("1-0"),
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
            message: Kept::whole(&[]),
            resume: Resume::fresh(id, at(0)),
        };
        (0, letter, String::new())
    }

    fn rule(when: ReplayWhen) -> ReplayRule {
        ReplayRule {
            name: "again".to_owned(),
            filter: DeadFilter::default(),
            when,
            per_minute: 60,
        }
    }

    #[test]
    fn letters_of_a_platform_that_is_down_stay_and_one_tries_it() {
        let circuits = [
            circuit("counted", None, None),
            circuit("open", Some(20), None),
            circuit("probed", Some(5), Some(20)),
            circuit("due", Some(5), None),
        ];
        let mut health = Health::of(&circuits, at(10));
        let healthy = rule(ReplayWhen::Healthy);
        for (platform, goes) in [
            (Some("counted"), true),
            (Some("well"), true),
            (None, true),
            (Some("open"), false),
            (Some("probed"), false),
            (Some("due"), true),
            (Some("due"), false),
        ] {
            assert_eq!(
                health.lets(&healthy, &letter(platform)),
                goes,
                "{platform:?}"
            );
        }
        let later = rule(ReplayWhen::After(Duration::from_secs(1)));
        assert!(health.lets(&later, &letter(Some("open"))));
    }
}
