//! The status in words and in JSON.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_shared::broker::QueueDepth;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Value, json};

use crate::commands::words::{count, head, many, time};

/// A platform.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) name: String,
    /// Why it is off, if it is.
    pub(super) off: Option<String>,
}

/// What was asked of a platform today.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) platform: String,
    pub(super) used: u64,
    pub(super) reset_at: Option<DateTime<Utc>>,
}

/// A server.
#[derive(Debug)]
pub(super) enum Service {
    /// It answers, at this address.
    Answers(String),
    /// It does not; why.
    Silent(String),
}

impl Default for Service {
    fn default() -> Self {
        Self::Silent("not asked".to_owned())
    }
}

/// How busy the workers are.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Places {
    pub(super) alive: usize,
    pub(super) in_flight: usize,
    pub(super) concurrency: usize,
}

/// Which scheduler leads.
#[derive(Debug, Default)]
pub(super) enum Leader {
    /// Nobody could be asked.
    #[default]
    Unknown,
    /// None does.
    Nobody,
    /// This one.
    Leads(String),
}

/// Everything; what could not be asked is absent.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) adapters: Vec<Adapter>,
    pub(super) quota: Option<Vec<Quota>>,
    pub(super) redis: Service,
    pub(super) postgres: Service,
    pub(super) workers: Option<Places>,
    pub(super) leader: Leader,
    pub(super) queues: Option<Vec<QueueDepth>>,
    pub(super) lanes: Vec<(String, u64)>,
    pub(super) dead_letters: Option<u64>,
    pub(super) unrecorded_events: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "=== Orchestrator Status ===\n\nAdapters:")?;
        for adapter in &self.adapters {
            match &adapter.off {
                None => writeln!(f, "  [OK] {}: ready", adapter.name)?,
                Some(why) => writeln!(f, "  [--] {}: off, {why}", adapter.name)?,
            }
        }
        writeln!(f, "\nServices:")?;
        for (name, service) in [("Redis", &self.redis), ("Postgres", &self.postgres)] {
            match service {
                Service::Answers(at) => writeln!(f, "  [OK] {name}: {at}")?,
                Service::Silent(why) => {
                    // The name stands there already.
                    let why = why.strip_prefix(&format!("{name} at ")).unwrap_or(why);
                    writeln!(f, "  [!!] {name}: {why}")?;
                }
            }
        }
        match self.workers {
            None => writeln!(f, "  [--] Workers: unknown")?,
            Some(Places { alive: 0, .. }) => writeln!(f, "  [!!] Workers: none is alive")?,
            Some(Places {
                alive,
                in_flight,
                concurrency,
            }) => writeln!(
                f,
                "  [OK] Workers: {alive} alive, {} of {} places in use",
                count(in_flight as u64),
                count(concurrency as u64)
            )?,
        }
        match &self.leader {
            Leader::Unknown => writeln!(f, "  [--] Scheduler: unknown")?,
            Leader::Nobody => writeln!(f, "  [!!] Scheduler: none leads")?,
            Leader::Leads(leader) => writeln!(f, "  [OK] Scheduler: {leader} leads")?,
        }
        self.queues(f)?;
        self.quotas(f)
    }
}

impl Report {
    fn queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(queues) = &self.queues else {
            return Ok(());
        };
        writeln!(f, "\nQueues:")?;
        if queues.is_empty() {
            writeln!(f, "  none yet: the first job makes one")?;
        }
        for depth in queues {
            writeln!(
                f,
                "  {}: {} available, {} running",
                depth.queue,
                count(depth.available),
                count(depth.running)
            )?;
        }
        for (lane, waiting) in &self.lanes {
            writeln!(f, "  {} waiting for {}", count(*waiting), head(lane, 80))?;
        }
        for (number, one, what) in [
            (self.dead_letters, "dead letter", "longshore dlq list"),
            (self.unrecorded_events, "fact", "on the way to the record"),
        ] {
            if let Some(number) = number.filter(|number| *number > 0) {
                let number = usize::try_from(number).unwrap_or(usize::MAX);
                writeln!(f, "  {} ({what})", many(number, one))?;
            }
        }
        Ok(())
    }

    fn quotas(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n=== Quota Status ===")?;
        let Some(quotas) = &self.quota else {
            return write!(f, "unknown: see Postgres above");
        };
        let longest = quotas.iter().map(|quota| quota.platform.len()).max();
        let width = longest.unwrap_or_default().max(11);
        writeln!(
            f,
            "{:<width$}   Used    Limit    Remaining    Reset",
            "Platform"
        )?;
        write!(
            f,
            "{:-<width$}   -----   ------   ----------   ---------------",
            ""
        )?;
        for quota in quotas {
            let reset = quota.reset_at.map_or_else(
                || "-".to_owned(),
                |at| at.format("%Y-%m-%d %H:%M UTC").to_string(),
            );
            write!(
                f,
                "\n{:<width$}   {:<5}   {:<6}   {:<10}   {reset}",
                quota.platform, quota.used, "-", "-"
            )?;
        }
        Ok(())
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "adapters",
            &Map(self.adapters.iter().map(adapter).collect()),
        )?;
        let quota = self.quota.as_ref();
        map.serialize_entry(
            "quota",
            &quota.map(|all| Map(all.iter().map(figures).collect())),
        )?;
        let scheduler = match &self.leader {
            Leader::Unknown => Value::Null,
            Leader::Nobody => json!({"leading": false, "leader": null}),
            Leader::Leads(leader) => json!({"leading": true, "leader": leader}),
        };
        map.serialize_entry(
            "services",
            &json!({
                "redis": service(&self.redis),
                "postgres": service(&self.postgres),
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
        map.serialize_entry("dead_letters", &self.dead_letters)?;
        map.serialize_entry("unrecorded_events", &self.unrecorded_events)?;
        map.end()
    }
}

/// An object whose names keep their order.
struct Map<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Map<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn adapter(adapter: &Adapter) -> (String, Value) {
    let value = match &adapter.off {
        None => json!({"is_implemented": true, "status": "ready"}),
        Some(why) => json!({"is_implemented": true, "status": "off", "reason": why}),
    };
    (adapter.name.clone(), value)
}

/// A platform's quota as programs see it. No platform has a limit yet.
#[derive(Debug, Serialize)]
struct Figures {
    used: u64,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset_at: Option<String>,
}

fn figures(quota: &Quota) -> (String, Figures) {
    let figures = Figures {
        used: quota.used,
        limit: None,
        remaining: None,
        reset_at: quota.reset_at.map(time),
    };
    (quota.platform.clone(), figures)
}

fn service(service: &Service) -> Value {
    match service {
        Service::Answers(at) => json!({"status": "ok", "address": at}),
        Service::Silent(why) => json!({"status": "down", "error": why}),
    }
}

#[cfg(test)]
mod tests {
    use longshore_shared::id::QueueName;

    use super::*;

    fn adapters() -> Vec<Adapter> {
        vec![
            Adapter {
                name: "gemini".to_owned(),
                off: None,
            },
            Adapter {
                name: "openai".to_owned(),
                off: Some("OPENAI_API_KEY is not set".to_owned()),
            },
        ]
    }

    fn well() -> Report {
        Report {
            adapters: adapters(),
            quota: Some(vec![Quota {
                platform: "gemini".to_owned(),
                used: 450,
                reset_at: Some("2026-02-02T00:00:00Z".parse().unwrap()),
            }]),
            redis: Service::Answers("127.0.0.1:6379".to_owned()),
            postgres: Service::Answers("127.0.0.1:5432/longshore".to_owned()),
            workers: Some(Places {
                alive: 2,
                in_flight: 3,
                concurrency: 2000,
            }),
            leader: Leader::Leads("vm-7".to_owned()),
            queues: Some(vec![QueueDepth {
                queue: QueueName::default(),
                available: 1200,
                running: 3,
            }]),
            lanes: vec![("time".to_owned(), 4)],
            dead_letters: Some(1),
            unrecorded_events: Some(0),
        }
    }

    #[test]
    fn all_well_in_words() {
        insta::assert_snapshot!(well(), @r"
        === Orchestrator Status ===

        Adapters:
          [OK] gemini: ready
          [--] openai: off, OPENAI_API_KEY is not set

        Services:
          [OK] Redis: 127.0.0.1:6379
          [OK] Postgres: 127.0.0.1:5432/longshore
          [OK] Workers: 2 alive, 3 of 2,000 places in use
          [OK] Scheduler: vm-7 leads

        Queues:
          default: 1,200 available, 3 running
          4 waiting for time
          1 dead letter (longshore dlq list)

        === Quota Status ===
        Platform      Used    Limit    Remaining    Reset
        -----------   -----   ------   ----------   ---------------
        gemini        450     -        -            2026-02-02 00:00 UTC
        ");
    }

    #[test]
    fn all_well_for_programs() {
        let json = serde_json::to_value(well()).unwrap();
        let adapters = &json["adapters"];
        assert_eq!(
            adapters["gemini"],
            json!({"is_implemented": true, "status": "ready"})
        );
        assert_eq!(adapters["openai"]["status"], "off");
        let quota = json!({"used": 450, "limit": null, "remaining": null, "reset_at": "2026-02-02T00:00:00Z"});
        assert_eq!(json["quota"]["gemini"], quota);
        assert_eq!(json["services"]["scheduler"]["leading"], true);
        assert_eq!(json["services"]["redis"]["status"], "ok");
        assert_eq!(json["queues"][0]["available"], 1200);
    }

    #[test]
    fn what_does_not_answer_is_named() {
        let report = Report {
            adapters: adapters(),
            redis: Service::Silent("Redis at 127.0.0.1:1 cannot be reached: refused".to_owned()),
            postgres: Service::Silent("Postgres at 127.0.0.1:2/x: refused".to_owned()),
            ..Report::default()
        };
        insta::assert_snapshot!(report, @r"
        === Orchestrator Status ===

        Adapters:
          [OK] gemini: ready
          [--] openai: off, OPENAI_API_KEY is not set

        Services:
          [!!] Redis: 127.0.0.1:1 cannot be reached: refused
          [!!] Postgres: 127.0.0.1:2/x: refused
          [--] Workers: unknown
          [--] Scheduler: unknown

        === Quota Status ===
        unknown: see Postgres above
        ");
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["quota"], Value::Null);
        assert_eq!(json["services"]["redis"]["status"], "down");
    }
}
