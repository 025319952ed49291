//! The health of platforms.

use std::fmt;

use chrono::{DateTime, Utc};
use longshore_broker::AccountHold;
use longshore_protocol::call::ErrorClass;
use serde::Serialize;
use serde_json::{Value, json};

use crate::render::{hold::hold_sentence, text::one_line, time::timestamp};

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
    /// How the last call failed.
    pub(super) class: ErrorClass,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.health {
            Health::Ready => write!(f, "[OK] {name}: ready"),
            Health::Disabled(why) => write!(f, "[--] {name}: disabled, {why}"),
            Health::OnHold(hold) => write!(f, "[WAIT] {name}: {}", hold_sentence(hold)),
            Health::CircuitsOpen(models) => {
                write!(f, "[DOWN] {name}: ")?;
                for (at, down) in models.iter().enumerate() {
                    let and = if at == 0 { "" } else { "; " };
                    write!(
                        f,
                        "{and}circuit open since {}, probed at {} ({}: {})",
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
