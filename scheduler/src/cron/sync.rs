//! Brings the recurring jobs of the configuration into Redis.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CronFence, CronRecord, LeaderToken, NextTick};
use longshore_config::Config;
use longshore_policy::cron::{Definition, Entry, Source};
use longshore_protocol::id::CronName;

/// Adds, changes and removes; `false` if somebody else changed one meanwhile, or another leads.
pub(super) async fn sync(
    broker: &Broker,
    config: &Config,
    leader: LeaderToken,
) -> Result<bool, BrokerError> {
    let (now, _) = broker.cron().next_ticks(0).await?;
    let standing = broker.cron().list().await?;
    let mut there: BTreeMap<CronName, CronRecord> = standing
        .into_iter()
        .map(|one| (one.record.name.clone(), one.record))
        .collect();
    let mut held = true;
    for (name, definition) in &config.cron {
        let record = there.remove(name);
        let Some((entry, next)) = change(name, definition, record.as_ref(), now) else {
            continue;
        };
        let put = broker
            .cron()
            .put(Some(leader), name, record.as_ref(), Some(&entry), next);
        held &= put.await? == CronFence::Held;
        tracing::info!(cron = %name, timing = %definition.timing, "a recurring job of the configuration");
    }
    for (name, record) in &there {
        // What cannot be read is not the configuration's to remove.
        let ours = record
            .entry()
            .is_ok_and(|entry| entry.source == Source::Config);
        if ours {
            let put = broker
                .cron()
                .put(Some(leader), name, Some(record), None, NextTick::Never);
            held &= put.await? == CronFence::Held;
            tracing::info!(cron = %name, "a recurring job left the configuration");
        }
    }
    Ok(held)
}

/// What has to be written, if anything, so that the job is as the configuration says.
fn change(
    name: &CronName,
    definition: &Definition,
    record: Option<&CronRecord>,
    now: DateTime<Utc>,
) -> Option<(Entry, NextTick)> {
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
            "a recurring job of this name was added by command; the configuration's is in its place now"
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
    let entry = Entry {
        source: Source::Config,
        paused,
        definition: definition.clone(),
    };
    Some((entry, next))
}

#[cfg(test)]
mod tests {
    use longshore_policy::cron::Written;

    use super::*;

    fn definition(every: &str, prompt: &str) -> Definition {
        let job = serde_json::json!({ "prompt": prompt });
        Definition::read(&Written {
            every: Some(every.to_owned()),
            job: job.as_object().unwrap().clone(),
            ..Written::default()
        })
        .unwrap()
    }

    fn changed(definition: &Definition, before: Option<Entry>) -> Option<(bool, NextTick)> {
        let name = CronName::parse("one").unwrap();
        let record = before.map(|entry| CronRecord {
            name: name.clone(),
            text: serde_json::to_string(&entry).unwrap(),
        });
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let (entry, next) = change(&name, definition, record.as_ref(), now)?;
        assert_eq!(entry.source, Source::Config);
        Some((entry.paused, next))
    }

    #[test]
    fn a_job_that_is_as_the_configuration_says_stays() {
        let entry = |source, paused, definition| {
            Some(Entry {
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
            "a tick that was missed is missed still"
        );
        let other_time = || definition("1h", "x");
        assert_eq!(
            changed(&minutely, entry(config, false, other_time())),
            fresh
        );
        assert_eq!(
            changed(&minutely, entry(config, true, other_time())),
            Some((true, NextTick::Never)),
            "what rests goes on resting"
        );
        assert_eq!(
            changed(&minutely, entry(command, false, other_time())),
            fresh
        );
    }
}
