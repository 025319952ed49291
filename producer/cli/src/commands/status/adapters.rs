//! The health of platforms.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_protocol::call::ErrorClass;
use serde::Serialize;
use serde_json::{Value, json};

use crate::render::{text::one_line, time::timestamp};

/// A platform.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) name: String,
    pub(super) health: Health,
}

#[derive(Debug)]
pub(super) enum Health {
    Ready,
    /// Off, for this reason.
    Off(String),
    /// The circuits of these models are open.
    Down(Vec<Down>),
    /// An account hold until then.
    Limited(DateTime<Utc>),
}

/// A model whose circuit is open.
#[derive(Debug, Serialize)]
pub(super) struct Down {
    pub(super) model: String,
    pub(super) since: DateTime<Utc>,
    /// When it is probed.
    pub(super) until: DateTime<Utc>,
    /// How the last call failed.
    pub(super) class: ErrorClass,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.health {
            Health::Ready => write!(f, "[OK] {name}: ready"),
            Health::Off(why) => write!(f, "[--] {name}: off, {why}"),
            Health::Limited(until) => write!(
                f,
                "[WAIT] {name}: it limits our calls, called again at {}",
                timestamp(*until)
            ),
            Health::Down(models) => {
                write!(f, "[DOWN] {name}: ")?;
                for (at, down) in models.iter().enumerate() {
                    let and = if at == 0 { "" } else { "; " };
                    write!(
                        f,
                        "{and}not well since {}, tried again at {} ({}: {})",
                        timestamp(down.since),
                        timestamp(down.until),
                        one_line(&down.model, 60),
                        down.class
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl Adapter {
    /// Its entry for programs.
    pub(super) fn entry(&self) -> (String, Value) {
        let value = match &self.health {
            Health::Ready => json!({"is_implemented": true, "status": "ready"}),
            Health::Off(why) => json!({"is_implemented": true, "status": "off", "reason": why}),
            Health::Limited(until) => {
                json!({"is_implemented": true, "status": "limited", "until": timestamp(*until)})
            }
            Health::Down(models) => {
                json!({"is_implemented": true, "status": "down", "models": models})
            }
        };
        (self.name.clone(), value)
    }
}
