//! Which dead letters are meant.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::{Broker, BrokerError},
    event::DeadRecord,
    id::JobId,
};

use crate::commands::words;

/// Letters read at once while going through all of them.
const PAGE: usize = 500;

/// Which dead letters: all that fit every given word.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Filter {
    /// Of this type
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// That failed last on this platform
    #[arg(long)]
    platform: Option<String>,
    /// For this reason, as the list shows it
    #[arg(long)]
    reason: Option<String>,
    /// Dead since then: 30m, 2h, 7d, a date, or RFC 3339
    #[arg(long, value_parser = words::since)]
    since: Option<DateTime<Utc>>,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Of this chain
    #[arg(long)]
    chain_id: Option<String>,
}

impl Filter {
    /// Whether it lets everything pass.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a letter is meant; its time was looked at before.
    pub(super) fn fits(&self, record: &DeadRecord) -> bool {
        let same = |wanted: &Option<String>, given: Option<&String>| {
            wanted.is_none() || wanted.as_ref() == given
        };
        same(&self.task_type, record.task_type.as_ref())
            && same(&self.platform, record.platform.as_ref())
            && same(&self.reason, Some(&record.reason))
            && same(&self.tenant, record.tenant.as_ref())
            && same(&self.chain_id, record.chain_id.as_ref())
    }

    /// The times of death (ms) that are meant. What dies from now on is not: a replayed letter that
    /// dies again must not be replayed for ever.
    pub(super) fn span(&self, now_ms: i64) -> RangeInclusive<i64> {
        self.since.map_or(0, |since| since.timestamp_millis())..=now_ms
    }
}

/// The letters that are meant, by id and time of death (ms), the oldest first.
pub(super) async fn collect(
    broker: &Broker,
    filter: &Filter,
) -> Result<Vec<(JobId, i64)>, BrokerError> {
    let span = filter.span(broker.server_time_ms().await?);
    let bar =
        indicatif::ProgressBar::new_spinner().with_message("looking through the dead letters");
    let mut keys = Vec::new();
    let mut next = Some(0);
    while let Some(start) = next {
        let page = broker.dead_page_back(start, span.clone(), PAGE).await?;
        next = page.next;
        bar.tick();
        keys.extend(
            page.letters
                .into_iter()
                .filter(|(_, letter, _)| filter.fits(&letter.record))
                .map(|(died, letter, _)| (letter.record.id, died)),
        );
    }
    bar.finish_and_clear();
    keys.reverse();
    Ok(keys)
}

#[cfg(test)]
pub(super) mod tests {
    use longshore_shared::{
        id::{Place, QueueName},
        letter::{Kept, Letter},
        resume::Resume,
    };

    use super::*;

    /// A letter of a research job of acme's that was exhausted on `sim`.
    pub(crate) fn letter(id: &str, fields: &[(&str, &str)]) -> Letter {
        let at: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().unwrap();
        let id = JobId::parse(id).unwrap();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        Letter {
            record: DeadRecord {
                id: id.clone(),
                place: Place::from_record("1-0"),
                queue: QueueName::default(),
                reason: "exhausted".to_owned(),
                error: "All platforms failed.".to_owned(),
                at,
                task_type: Some("research".to_owned()),
                platform: Some("sim".to_owned()),
                tenant: Some("acme".to_owned()),
                chain_id: None,
                attempts: 3,
            },
            message: Kept::whole(&fields),
            resume: Resume::fresh(id, at),
        }
    }

    #[test]
    fn every_given_word_must_fit() {
        let record = letter("a", &[]).record;
        let with = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter
        };
        assert!(Filter::default().fits(&record));
        assert!(with(|f| f.reason = Some("exhausted".to_owned())).fits(&record));
        assert!(!with(|f| f.reason = Some("exhaust".to_owned())).fits(&record));
        assert!(!with(|f| f.chain_id = Some("c".to_owned())).fits(&record));
        let both = with(|f| {
            f.task_type = Some("research".to_owned());
            f.tenant = Some("acme".to_owned());
        });
        assert!(both.fits(&record));
        assert!(
            !Filter {
                platform: Some("other".to_owned()),
                ..both
            }
            .fits(&record)
        );
    }

    #[test]
    fn what_dies_from_now_on_is_not_meant() {
        assert_eq!(Filter::default().span(5), 0..=5);
        let since = Filter {
            since: DateTime::from_timestamp_millis(3),
            ..Filter::default()
        };
        assert_eq!(since.span(5), 3..=5);
        assert!(Filter::default().is_empty() && !since.is_empty());
    }
}
