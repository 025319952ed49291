//! How well platforms are.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_shared::call::ErrorClass;
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::words::{head, time};

/// A platform.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) name: String,
    pub(super) health: Health,
}

/// How well a platform is.
#[derive(Debug)]
pub(super) enum Health {
    /// As far as is known.
    Ready,
    /// It is off; why.
    Off(String),
    /// Calls to these models of it only fail.
    Down(Vec<Down>),
    /// It wants no calls until then.
    Limited(DateTime<Utc>),
}

/// A model that is left alone because calls to it fail.
#[derive(Debug, Serialize)]
pub(super) struct Down {
    pub(super) model: String,
    pub(super) since: DateTime<Utc>,
    /// When it is tried again.
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
                time(*until)
            ),
            Health::Down(models) => {
                write!(f, "[DOWN] {name}: ")?;
                for (at, down) in models.iter().enumerate() {
                    let and = if at == 0 { "" } else { "; " };
                    write!(
                        f,
                        "{and}not well since {}, tried again at {} ({}: {})",
                        time(down.since),
                        time(down.until),
                        head(&down.model, 60),
                        down.class
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl Adapter {
    /// Its entry for programs, in the form of seed 000.
    pub(super) fn entry(&self) -> (String, Value) {
        let value = match &self.health {
            Health::Ready => json!({"is_implemented": true, "status": "ready"}),
            Health::Off(why) => json!({"is_implemented": true, "status": "off", "reason": why}),
            Health::Limited(until) => {
                json!({"is_implemented": true, "status": "limited", "until": time(*until)})
            }
            Health::Down(models) => {
                json!({"is_implemented": true, "status": "down", "models": models})
            }
        };
        (self.name.clone(), value)
    }
}
