//! The health of platforms.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::AccountHold;
use longshore_protocol::call::ErrorClass;
use serde::Serialize;
use serde_json::{Value, json};

use crate::render::{
    hold::{hold_sentence, release_command},
    text::one_line,
    time::{minute, time_of_day, timestamp},
};

/// A platform.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) name: String,
    pub(super) health: Health,
}

#[derive(Debug)]
pub(super) enum Health {
    Ready,
    /// Disabled, for this reason.
    Disabled(String),
    /// The circuits of these models are open.
    CircuitsOpen(Vec<OpenCircuit>),
    /// The account is on hold.
    OnHold(AccountHold),
}

/// The open circuit of a model.
#[derive(Debug, Serialize)]
pub(super) struct OpenCircuit {
    pub(super) model: String,
    pub(super) since: DateTime<Utc>,
    /// When the next call probes it.
    pub(super) until: DateTime<Utc>,
    /// Until when a worker has claimed the probe.
    #[serde(skip)]
    pub(super) probing_until: Option<DateTime<Utc>>,
    /// How the last call failed.
    pub(super) class: ErrorClass,
}

impl OpenCircuit {
    /// Since when it is open, why, and what happens next.
    fn sentence(&self, now: DateTime<Utc>) -> String {
        let (model, class) = (one_line(&self.model, 60), self.class);
        let since = clock_time(self.since, now);
        let next = if self.probing_until.is_some_and(|until| until > now) {
            "a job is probing it".to_owned()
        } else if self.until > now {
            format!("tried again at {}", time_of_day(self.until))
        } else {
            "the next job will probe it".to_owned()
        };
        format!("circuit open since {since} ({model}: {class}); {next}")
    }
}

/// The time of day; with the date if it was not in the last day.
fn clock_time(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if now - at < TimeDelta::days(1) {
        time_of_day(at)
    } else {
        minute(at)
    }
}

impl Adapter {
    /// Its status, and below it what shows the cause or is the remedy.
    pub(super) fn lines(&self, now: DateTime<Utc>) -> Vec<String> {
        let name = &self.name;
        match &self.health {
            Health::Ready => vec![format!("[OK] {name}: ready")],
            Health::Disabled(why) => vec![format!("[--] {name}: disabled, {why}")],
            Health::OnHold(hold) => vec![
                format!("[WAIT] {name}: {}", hold_sentence(hold)),
                format!("       {}", release_command(hold)),
            ],
            Health::CircuitsOpen(models) => {
                let down = models.iter();
                let down = down.map(|down| format!("[DOWN] {name}: {}", down.sentence(now)));
                down.chain([format!("       longshore failures --platform {name}")])
                    .collect()
            }
        }
    }

    /// The JSON of one adapter: `is_implemented`, `status`, and what explains the status.
    pub(super) fn entry(&self) -> (String, Value) {
        let value = match &self.health {
            Health::Ready => json!({"is_implemented": true, "status": "ready"}),
            Health::Disabled(why) => {
                json!({"is_implemented": true, "status": "off", "reason": why})
            }
            Health::OnHold(hold) => {
                let until = timestamp(hold.until);
                json!({"is_implemented": true, "status": "limited", "until": until, "reason": hold.reason})
            }
            Health::CircuitsOpen(models) => {
                json!({"is_implemented": true, "status": "down", "models": models})
            }
        };
        (self.name.clone(), value)
    }
}
