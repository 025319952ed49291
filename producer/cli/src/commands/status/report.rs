//! The status, as text and JSON.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_broker::QueueDepth;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Value, json};

use super::{adapters::Adapter, quotas::Quotas};
use crate::render::{
    lane::waiting_for,
    pause::ShownPause,
    text::{counted, grouped},
    time::age,
};

/// A server.
#[derive(Debug)]
pub(super) enum Service {
    /// It answers at this address.
    Reachable(String),
    /// It does not answer, for this reason.
    Unreachable(String),
}

impl Default for Service {
    fn default() -> Self {
        Self::Unreachable("not asked".to_owned())
    }
}

/// The slots of all workers.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct WorkerSlots {
    pub(super) alive: usize,
    pub(super) in_flight: usize,
    pub(super) concurrency: usize,
}

/// Which scheduler leads.
#[derive(Debug, Default)]
pub(super) enum Leader {
    /// Redis did not answer.
    #[default]
    Unknown,
    /// No scheduler leads.
    Missing,
    /// This scheduler leads.
    Leads(String),
}

/// The status. Unknown values are absent.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// By the clock of Redis, if it answers.
    pub(super) now: DateTime<Utc>,
    pub(super) adapters: Vec<Adapter>,
    pub(super) quotas: Quotas,
    pub(super) redis: Service,
    pub(super) postgres: Service,
    pub(super) workers: Option<WorkerSlots>,
    pub(super) leader: Leader,
    pub(super) queues: Option<Vec<QueueDepth>>,
    pub(super) lanes: Vec<(String, u64)>,
    pub(super) pauses: Vec<ShownPause>,
    pub(super) dead_letters: Option<u64>,
    pub(super) unrecorded_events: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Providers:")?;
        let lines = self
            .adapters
            .iter()
            .flat_map(|adapter| adapter.lines(self.now));
        for line in lines {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nServices:")?;
        for (name, service) in [("Redis", &self.redis), ("Postgres", &self.postgres)] {
            match service {
                Service::Reachable(at) => writeln!(f, "  [OK] {name}: {at}")?,
                Service::Unreachable(why) => {
                    // The line already has the name.
                    let why = why.strip_prefix(&format!("{name} at ")).unwrap_or(why);
                    writeln!(f, "  [!!] {name}: {why}")?;
                }
            }
        }
        match self.workers {
            None => writeln!(f, "  [--] Workers: unknown")?,
            Some(WorkerSlots { alive: 0, .. }) => writeln!(f, "  [!!] Workers: none is alive")?,
            Some(WorkerSlots {
                alive,
                in_flight,
                concurrency,
            }) => writeln!(
                f,
                "  [OK] Workers: {alive} alive, {} of {} slots in use",
                grouped(in_flight as u64),
                grouped(concurrency as u64)
            )?,
        }
        match &self.leader {
            Leader::Unknown => writeln!(f, "  [--] Scheduler: unknown")?,
            Leader::Missing => writeln!(f, "  [!!] Scheduler: none leads")?,
            Leader::Leads(leader) => writeln!(f, "  [OK] Scheduler: {leader} leads")?,
        }
        self.write_queues(f)?;
        write!(f, "\n{}", self.quotas)
    }
}

impl Report {
    fn write_queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(queues) = &self.queues else {
            return Ok(());
        };
        writeln!(f, "\nQueues:")?;
        if queues.is_empty() {
            writeln!(f, "  none yet; the first job creates one")?;
        }
        for depth in queues {
            let oldest = depth.oldest_at.map_or_else(String::new, |oldest| {
                format!(", oldest {}", age(oldest, self.now))
            });
            writeln!(
                f,
                "  {}: {} available, {} running{oldest}",
                depth.queue,
                grouped(depth.available),
                grouped(depth.running)
            )?;
        }
        for (name, waiting) in &self.lanes {
            writeln!(
                f,
                "  {} waiting for {}",
                grouped(*waiting),
                waiting_for(name)
            )?;
        }
        for pause in &self.pauses {
            writeln!(f, "  {pause}")?;
        }
        for (number, one, what) in [
            (self.dead_letters, "dead letter", "longshore dlq list"),
            (self.unrecorded_events, "event", "not yet recorded"),
        ] {
            if let Some(number) = number.filter(|number| *number > 0) {
                writeln!(f, "  {} ({what})", counted(number, one))?;
            }
        }
        Ok(())
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "adapters",
            &OrderedMap(self.adapters.iter().map(Adapter::entry).collect()),
        )?;
        map.serialize_entry("quota", &self.quotas.platforms().map(OrderedMap))?;
        map.serialize_entry("budgets", &self.quotas.budgets())?;
        map.serialize_entry("warnings", &self.quotas.warnings())?;
        let scheduler = match &self.leader {
            Leader::Unknown => Value::Null,
            Leader::Missing => json!({"leading": false, "leader": null}),
            Leader::Leads(leader) => json!({"leading": true, "leader": leader}),
        };
        map.serialize_entry(
            "services",
            &json!({
                "redis": service_json(&self.redis),
                "postgres": service_json(&self.postgres),
                "workers": self.workers,
                "scheduler": scheduler,
            }),
        )?;
        map.serialize_entry("queues", &self.queues)?;
        let lanes = self
            .lanes
            .iter()
            .map(|(name, waiting)| json!({"name": name, "waiting": waiting}));
        map.serialize_entry("lanes", &lanes.collect::<Vec<Value>>())?;
        map.serialize_entry("paused", &self.pauses)?;
        map.serialize_entry("dead_letters", &self.dead_letters)?;
        map.serialize_entry("unrecorded_events", &self.unrecorded_events)?;
        map.end()
    }
}

/// An object whose names keep their order.
struct OrderedMap<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for OrderedMap<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn service_json(service: &Service) -> Value {
    match service {
        Service::Reachable(at) => json!({"status": "ok", "address": at}),
        Service::Unreachable(why) => json!({"status": "down", "error": why}),
    }
}

#[cfg(test)]
mod tests;
