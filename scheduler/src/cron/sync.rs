//! Applies the recurring jobs of the configuration to Redis.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CronFence, CronRecord, LeaderToken, NextTick};
use longshore_config::Config;
use longshore_policy::cron::{CronDefinition, CronJob, Source};
use longshore_protocol::id::CronName;

/// Adds, changes and removes recurring jobs. Returns `false` if one of them changed at the same time, or if
/// another scheduler leads.
pub(super) async fn apply_config(
    broker: &Broker,
    config: &Config,
    leader: LeaderToken,
) -> Result<bool, BrokerError> {
    let (now, _) = broker.cron().next_ticks(0).await?;
    let stored = broker.cron().list().await?;
    let mut stored: BTreeMap<CronName, CronRecord> = stored
        .into_iter()
        .map(|job| (job.record.name.clone(), job.record))
        .collect();
    let mut held = true;
    for (name, definition) in &config.cron {
        let record = stored.remove(name);
        let Some((entry, next)) = change_for(name, definition, record.as_ref(), now) else {
            continue;
        };
        let put = broker
            .cron()
            .put(Some(leader), name, record.as_ref(), Some(&entry), next);
        held &= put.await? == CronFence::Held;
        tracing::info!(cron = %name, timing = %definition.timing, "recurring job of the configuration applied");
    }
    for (name, record) in &stored {
        // An unreadable record may belong to a newer version: leave it.
        let ours = record
            .entry()
            .is_ok_and(|entry| entry.source == Source::Config);
        if ours {
            let put = broker
                .cron()
                .put(Some(leader), name, Some(record), None, NextTick::Never);
            held &= put.await? == CronFence::Held;
            tracing::info!(cron = %name, "recurring job removed: it is no longer in the configuration");
        }
    }
    Ok(held)
}

/// What to write so that the recurring job matches the configuration; `None` if it already does.
fn change_for(
    name: &CronName,
    definition: &CronDefinition,
    record: Option<&CronRecord>,
    now: DateTime<Utc>,
) -> Option<(CronJob, NextTick)> {
    let before = record.and_then(|record| record.entry().ok());
    if before
        .as_ref()
        .is_some_and(|before| before.source == Source::Config && before.definition == *definition)
    {
        return None;
    }
    if before
        .as_ref()
        .is_some_and(|before| before.source == Source::Command)
    {
        tracing::warn!(
            cron = %name,
            "recurring job replaced: the configuration defines one of the same name"
        );
    }
    let paused = before.as_ref().is_some_and(|before| before.paused);
    let next = match &before {
        _ if paused => NextTick::Never,
        Some(before) if before.definition.timing == definition.timing => NextTick::Kept,
        _ => definition
            .timing
            .next_after(now)
            .map_or(NextTick::Never, NextTick::At),
    };
    let entry = CronJob {
        source: Source::Config,
        paused,
        definition: definition.clone(),
    };
    Some((entry, next))
}

#[cfg(test)]
mod tests {
    use longshore_protocol::serialized::Serialized;

    use longshore_policy::cron::CronDefinitionText;

    use super::*;

    fn definition(every: &str, prompt: &str) -> CronDefinition {
        let job = serde_json::json!({ "prompt": prompt });
        CronDefinition::read(&CronDefinitionText {
            every: Some(every.to_owned()),
            job: job.as_object().unwrap().clone(),
            ..CronDefinitionText::default()
        })
        .unwrap()
    }

    fn changed(definition: &CronDefinition, before: Option<CronJob>) -> Option<(bool, NextTick)> {
        let name = CronName::parse("one").unwrap();
        let record = before.map(|entry| CronRecord {
            name: name.clone(),
            json: Serialized::new(&entry).unwrap(),
        });
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let (entry, next) = change_for(&name, definition, record.as_ref(), now)?;
        assert_eq!(entry.source, Source::Config);
        Some((entry.paused, next))
    }

    #[test]
    fn only_a_recurring_job_that_differs_from_the_configuration_is_written() {
        let entry = |source, paused, definition| {
            Some(CronJob {
                source,
                paused,
                definition,
            })
        };
        let minutely = definition("1m", "x");
        let (config, command) = (Source::Config, Source::Command);
        let at = DateTime::from_timestamp(1_000_000_020, 0).unwrap();
        let fresh = Some((false, NextTick::At(at)));
        assert_eq!(changed(&minutely, None), fresh);
        for paused in [true, false] {
            let same = entry(config, paused, minutely.clone());
            assert_eq!(changed(&minutely, same), None);
        }
        let other_job = entry(config, false, definition("1m", "y"));
        assert_eq!(
            changed(&minutely, other_job),
            Some((false, NextTick::Kept)),
            "a missed tick stays missed"
        );
        let other_time = || definition("1h", "x");
        assert_eq!(
            changed(&minutely, entry(config, false, other_time())),
            fresh
        );
        assert_eq!(
            changed(&minutely, entry(config, true, other_time())),
            Some((true, NextTick::Never)),
            "a paused job stays paused"
        );
        assert_eq!(
            changed(&minutely, entry(command, false, other_time())),
            fresh
        );
    }
}
