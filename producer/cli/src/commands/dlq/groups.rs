//! Counts dead letters by what they have in common.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_protocol::{dead_letter::DeadLetterQuery, event::DeadLetterRecord, id::JobId};
use serde::Serialize;
use serde_json::{Map, Value};

use super::note_unreadable;
use crate::render::{
    progress::Progress,
    table::{Cell, Table, Width, cut, number, whole},
    text::{counted, grouped, or_dash},
    time::{age, from_unix_ms},
};

/// Records counted by one call.
const PAGE: usize = 1000;

/// What dead letters are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum GroupKey {
    Reason,
    Platform,
    Type,
    Tenant,
    Queue,
}

impl GroupKey {
    /// The name of the column.
    fn title(self) -> &'static str {
        match self {
            Self::Reason => "REASON",
            Self::Platform => "PLATFORM",
            Self::Type => "TYPE",
            Self::Tenant => "TENANT",
            Self::Queue => "QUEUE",
        }
    }

    /// The name in JSON: that of the record's field.
    fn field(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Platform => "platform",
            Self::Type => "task_type",
            Self::Tenant => "tenant",
            Self::Queue => "queue",
        }
    }

    fn value(self, record: &DeadLetterRecord) -> Option<String> {
        match self {
            Self::Reason => Some(record.reason.clone()),
            Self::Platform => record.platform.clone(),
            Self::Type => record.task_type.clone(),
            Self::Tenant => record.tenant.clone(),
            Self::Queue => Some(record.queue.to_string()),
        }
    }
}

/// The groups of all dead letters that match, the largest first.
#[derive(Debug, Serialize)]
pub(super) struct Breakdown {
    /// How many dead letters match.
    matching: u64,
    /// How many groups there are, shown or not.
    total_groups: usize,
    groups: Vec<Group>,
    #[serde(skip)]
    keys: Vec<GroupKey>,
}

/// Dead letters that have the same values.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Group {
    #[serde(flatten)]
    values: Map<String, Value>,
    count: u64,
    newest_at: DateTime<Utc>,
    /// The newest.
    example_id: JobId,
}

impl Breakdown {
    /// A row of each group.
    pub(super) fn rows(&self) -> impl Iterator<Item = impl Serialize> {
        self.groups.iter()
    }

    /// Counts the dead letters that match the query, which lists the newest first, and keeps the `limit` largest groups.
    pub(super) async fn count(
        broker: &Broker,
        mut query: DeadLetterQuery,
        keys: Vec<GroupKey>,
        limit: usize,
    ) -> Result<Self, BrokerError> {
        let spinner = Progress::spinner("{spinner} {msg}", "counting the dead letters");
        let mut tally = Tally::new(keys);
        loop {
            let page = broker.dead_letters().record_page(&query, PAGE).await?;
            note_unreadable(&page.unreadable);
            for (died_ms, record) in &page.found {
                tally.add(*died_ms, record);
            }
            query.after = page.next;
            if query.after.is_none() {
                spinner.clear();
                return Ok(tally.into_breakdown(limit));
            }
        }
    }

    pub(super) fn describe(&self, now: DateTime<Utc>, width: Width) -> String {
        let figures = format!(
            "{} in {}, {} shown",
            counted(self.matching, "dead letter"),
            counted(self.total_groups, "group"),
            grouped(self.groups.len() as u64)
        );
        let Some(first) = self.groups.first() else {
            return figures;
        };
        let mut columns = vec![whole("COUNT").right()];
        columns.extend(self.keys.iter().map(|key| cut(key.title())));
        columns.extend([whole("NEWEST").right(), whole("EXAMPLE")]);
        let mut table = Table::new(columns);
        for group in &self.groups {
            let mut row = vec![number(group.count)];
            let value = |key: &GroupKey| group.values.get(key.field()).and_then(Value::as_str);
            row.extend(self.keys.iter().map(|key| Cell::new(or_dash(value(key)))));
            row.push(Cell::new(age(group.newest_at, now)));
            row.push(Cell::new(&group.example_id));
            table.add_row(row);
        }
        format!(
            "{}\n\n{figures}\n\nNext: longshore dlq show {}",
            table.fitted(width),
            first.example_id
        )
    }
}

struct Tally {
    keys: Vec<GroupKey>,
    matching: u64,
    groups: HashMap<Vec<Option<String>>, Group>,
}

impl Tally {
    fn new(keys: Vec<GroupKey>) -> Self {
        Self {
            keys,
            matching: 0,
            groups: HashMap::new(),
        }
    }

    /// Counts a dead letter. Those before it are newer.
    fn add(&mut self, died_ms: i64, record: &DeadLetterRecord) {
        self.matching += 1;
        let values: Vec<Option<String>> = self.keys.iter().map(|key| key.value(record)).collect();
        if let Some(group) = self.groups.get_mut(&values) {
            group.count += 1;
            return;
        }
        let named = self.keys.iter().zip(&values);
        let named = named.map(|(key, value)| (key.field().to_owned(), value.clone().into()));
        let group = Group {
            values: named.collect(),
            count: 1,
            newest_at: from_unix_ms(died_ms),
            example_id: record.id.clone(),
        };
        self.groups.insert(values, group);
    }

    fn into_breakdown(self, limit: usize) -> Breakdown {
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        groups.sort_by_key(|group| Reverse((group.count, group.newest_at)));
        let total_groups = groups.len();
        groups.truncate(limit);
        Breakdown {
            matching: self.matching,
            total_groups,
            groups,
            keys: self.keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::example_dead_letter, *};

    #[test]
    fn the_largest_group_comes_first_with_its_newest_dead_letter() {
        let now: DateTime<Utc> = "2026-12-01T12:05:00Z".parse().unwrap();
        let mut tally = Tally::new(vec![GroupKey::Reason, GroupKey::Platform]);
        for (n, platform) in [None, Some("sim"), Some("sim"), Some("other")]
            .iter()
            .enumerate()
        {
            let mut record = example_dead_letter(&format!("inv-{n}"), &[]).record;
            record.platform = platform.map(str::to_owned);
            let ago_ms = i64::try_from(n).unwrap() * 60_000;
            tally.add(now.timestamp_millis() - ago_ms, &record);
        }
        let groups = tally.into_breakdown(2);
        insta::assert_snapshot!(groups.describe(now, Width::of(80)), @"
        COUNT  REASON     PLATFORM  NEWEST  EXAMPLE
            2  exhausted  sim          60s  inv-1
            1  exhausted  -             0s  inv-0

        4 dead letters in 3 groups, 2 shown

        Next: longshore dlq show inv-1
        ");
        insta::assert_snapshot!(groups.describe(now, Width::of(140)), @"
        COUNT  REASON     PLATFORM  NEWEST  EXAMPLE
            2  exhausted  sim          60s  inv-1
            1  exhausted  -             0s  inv-0

        4 dead letters in 3 groups, 2 shown

        Next: longshore dlq show inv-1
        ");
        let json = serde_json::to_value(&groups).unwrap();
        assert_eq!(json["matching"], 4);
        assert_eq!(json["groups"][1]["platform"], Value::Null);
        assert_eq!(json["groups"][0]["count"], 2);
    }

    #[test]
    fn without_dead_letters_there_is_no_table() {
        let groups = Tally::new(vec![GroupKey::Reason]).into_breakdown(5);
        assert_eq!(
            groups.describe(DateTime::UNIX_EPOCH, Width::UNLIMITED),
            "0 dead letters in 0 groups, 0 shown"
        );
    }
}
