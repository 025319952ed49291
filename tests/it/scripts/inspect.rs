//! Reading the state of a namespace.

use std::collections::{BTreeMap, BTreeSet};

use longshore_protocol::id::EntryId;

use super::fixture::Fixture;

/// Every key of a namespace with its value as Redis dumps it.
pub(crate) type Snapshot = BTreeMap<String, Vec<u8>>;

impl Fixture {
    /// The recorded events, and whether each is of an attempt that settled nothing.
    pub(crate) async fn events(&self) -> Vec<(String, bool)> {
        let rows: Vec<(String, Vec<(String, String)>)> =
            self.ask(&["XRANGE", &self.key("events"), "-", "+"]).await;
        let mut events = Vec::new();
        for (_, fields) in rows {
            let duplicate = fields.iter().any(|(name, _)| name == "d");
            let texts = fields.into_iter().filter(|(name, _)| name == "e");
            events.extend(texts.map(|(_, text)| (text, duplicate)));
        }
        events
    }

    /// The stream of released jobs.
    pub(crate) fn ready_stream(&self) -> String {
        self.broker.keys().queue(&self.queue.ready())
    }

    /// How many entries the queue has, released ones included.
    pub(crate) async fn standing(&self) -> usize {
        let new: usize = self.ask(&["XLEN", &self.stream()]).await;
        let ready: usize = self.ask(&["XLEN", &self.ready_stream()]).await;
        new + ready
    }

    /// The owner of each delivered entry, by entry id.
    pub(crate) async fn pending(&self) -> BTreeMap<String, String> {
        let mut pending = BTreeMap::new();
        for queue in [self.queue.ready(), self.queue.clone()] {
            let stream = self.broker.keys().queue(&queue);
            // The stream of released jobs may not exist yet.
            if self.ask::<u64>(&["XLEN", &stream]).await == 0 {
                continue;
            }
            let rows: Vec<(String, String, u64, u64)> = self
                .ask(&["XPENDING", &stream, "workers", "-", "+", "10000"])
                .await;
            pending.extend(
                rows.into_iter().map(|(entry, consumer, ..)| {
                    (EntryId::new(&queue, &entry).to_string(), consumer)
                }),
            );
        }
        pending
    }

    /// The names of the group's consumers.
    pub(crate) async fn consumers(&self) -> BTreeSet<String> {
        let rows: Vec<BTreeMap<String, redis::Value>> = self
            .ask(&["XINFO", "CONSUMERS", &self.stream(), "workers"])
            .await;
        rows.into_iter()
            .map(|mut row| redis::from_redis_value(row.remove("name").unwrap()).unwrap())
            .collect()
    }

    /// A hash of the namespace.
    pub(crate) async fn hash(&self, suffix: &str) -> BTreeMap<String, String> {
        self.ask(&["HGETALL", &self.key(suffix)]).await
    }

    /// The fields of a hash of the namespace.
    pub(crate) async fn hash_keys(&self, suffix: &str) -> BTreeSet<String> {
        self.ask(&["HKEYS", &self.key(suffix)]).await
    }

    /// The names of all keys of the namespace, without its prefix.
    pub(crate) async fn names(&self) -> BTreeSet<String> {
        let prefix = self.key("");
        let mut names = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let pattern = format!("{prefix}*");
            let (next, keys): (String, Vec<String>) = self
                .ask(&["SCAN", &cursor, "MATCH", &pattern, "COUNT", "1000"])
                .await;
            names.extend(
                keys.iter()
                    .map(|key| key.strip_prefix(&prefix).unwrap().to_owned()),
            );
            if next == "0" {
                return names;
            }
            cursor = next;
        }
    }

    /// A snapshot of all keys, to compare with a later one.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for name in self.names().await {
            let value: Vec<u8> = self.ask(&["DUMP", &self.key(&name)]).await;
            snapshot.insert(name, value);
        }
        snapshot
    }

    /// As [`Fixture::snapshot`], without the events.
    pub(crate) async fn snapshot_but_events(&self) -> Snapshot {
        let mut snapshot = self.snapshot().await;
        snapshot.remove("events");
        snapshot
    }

    /// Asserts that the job is acked and deleted, and that no checkpoint or lane is left. Usage of limits
    /// stays.
    pub(crate) async fn assert_nothing_is_left(&self) {
        assert_eq!(self.standing().await, 0);
        assert_eq!(self.pending().await, BTreeMap::new());
        let kept = |name: &String| {
            !(name.starts_with("queue:")
                || name.starts_with("worker:")
                || name.starts_with("result:")
                || name.starts_with("quota:")
                || name == "queues"
                || name == "windows"
                || name == "alerts:look"
                || name == "account:holds"
                || name == "events")
        };
        let left: Vec<String> = self.names().await.into_iter().filter(kept).collect();
        assert_eq!(left, Vec::<String>::new());
    }
}
