//! Filters of dead letters.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    dead_letter::{DeadLetterFilter, DeadLetterOrder, DeadLetterQuery},
    encryption::Keyring,
    id::QueueName,
};

use crate::options;

#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Filter {
    /// Only dead letters of this job type
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// Only dead letters whose last attempt called this platform
    #[arg(long)]
    platform: Option<String>,
    /// Only dead letters with this reason, as shown in the list
    #[arg(long)]
    reason: Option<String>,
    /// Only dead letters whose error contains this text, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Only dead letters written since then: 30m, 2h or 7d ago, a date, or a time in RFC 3339
    #[arg(long, value_parser = options::since)]
    since: Option<DateTime<Utc>>,
    /// Only dead letters written before then: 7d (more than seven days ago), a date, or a time in RFC 3339
    #[arg(long, value_parser = options::since)]
    until: Option<DateTime<Utc>>,
    /// Only dead letters of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only dead letters of this chain
    #[arg(long)]
    chain_id: Option<String>,
    /// Only dead letters from this queue
    #[arg(long, value_parser = QueueName::parse)]
    queue: Option<QueueName>,
}

impl Filter {
    /// Whether no filter is given.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Says which of the filters find nothing that is encrypted.
    pub(super) fn note_encrypted(&self, keyring: &Keyring) {
        if self.error.is_some() {
            options::note_encrypted_search("--error", keyring);
        }
    }

    /// The query. It ends at `now_ms`: a replayed job that becomes a dead letter again must not be replayed
    /// again.
    pub(super) fn query(self, order: DeadLetterOrder, now_ms: i64) -> DeadLetterQuery {
        DeadLetterQuery {
            span: self.span(now_ms),
            filter: DeadLetterFilter {
                reasons: self.reason.into_iter().collect(),
                task_type: self.task_type,
                platform: self.platform,
                tenant: self.tenant,
                chain_id: self.chain_id,
                queue: self.queue,
                error: self.error,
                ..DeadLetterFilter::default()
            },
            order,
            after: None,
        }
    }

    fn span(&self, now_ms: i64) -> RangeInclusive<i64> {
        let ms = |time: DateTime<Utc>| time.timestamp_millis();
        let first = self.since.map_or(0, ms);
        let last = self.until.map_or(now_ms, |until| now_ms.min(ms(until) - 1));
        first..=last
    }
}

#[cfg(test)]
pub(super) mod tests {
    use longshore_protocol::{
        checkpoint::Checkpoint,
        dead_letter::{DeadLetter, StoredMessage},
        event::DeadLetterRecord,
        id::{EntryId, JobId},
    };

    use super::*;

    /// The dead letter of a research job of tenant acme that was exhausted on platform `sim`.
    pub(crate) fn example_dead_letter(id: &str, fields: &[(&str, &str)]) -> DeadLetter {
        let at: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().unwrap();
        let id = JobId::parse(id).unwrap();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        DeadLetter {
            record: DeadLetterRecord {
                id: id.clone(),
                entry_id: EntryId::from_stored("1-0"),
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
            message: StoredMessage::whole(&fields),
            checkpoint: Checkpoint::fresh(id, at),
        }
    }

    #[test]
    fn a_query_has_every_given_filter() {
        let filter = Filter {
            reason: Some("exhausted".to_owned()),
            queue: Some(QueueName::default()),
            ..Filter::default()
        };
        let query = filter.query(DeadLetterOrder::OldestFirst, 5);
        let expected = DeadLetterFilter {
            reasons: vec!["exhausted".to_owned()],
            queue: Some(QueueName::default()),
            ..DeadLetterFilter::default()
        };
        assert_eq!((query.filter, query.span), (expected, 0..=5));
    }

    #[test]
    fn a_span_ends_now_at_the_latest() {
        assert_eq!(Filter::default().span(5), 0..=5);
        let within = |since, until| Filter {
            since: DateTime::from_timestamp_millis(since),
            until: DateTime::from_timestamp_millis(until),
            ..Filter::default()
        };
        assert_eq!(within(3, 5).span(9), 3..=4);
        assert_eq!(within(3, 50).span(9), 3..=9);
        assert!(Filter::default().is_empty() && !within(3, 5).is_empty());
    }
}
