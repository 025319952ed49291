//! Messages of the control channel (`{ns}:control`), by which scripts notify running workers.

use chrono::{DateTime, Utc};

use crate::id::JobId;

/// A message of the control channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlMessage {
    /// `cancel JOB`: cancel the job if it is in flight here.
    Cancel(JobId),
    /// `config VERSION`: a configuration was pushed for all processes.
    ConfigPushed { version: u64 },
    /// `paused`: something was paused or resumed.
    PausesChanged,
    /// `limited ACCOUNT MS`: do not call the account before this time.
    AccountHeld {
        account: String,
        until: DateTime<Utc>,
    },
    /// `circuit PLATFORM/MODEL`: a circuit opened or closed.
    CircuitChanged { circuit: String },
}

impl ControlMessage {
    /// Parses a message; `None` if it is malformed or of a kind that this version does not know.
    pub fn parse(message: &str) -> Option<Self> {
        let (kind, argument) = message.split_once(' ').unwrap_or((message, ""));
        match kind {
            "cancel" => JobId::parse(argument).ok().map(Self::Cancel),
            "config" => Some(Self::ConfigPushed {
                version: argument.parse().ok()?,
            }),
            "paused" => Some(Self::PausesChanged),
            "limited" => {
                let (account, until_ms) = argument.rsplit_once(' ')?;
                Some(Self::AccountHeld {
                    account: account.to_owned(),
                    until: DateTime::from_timestamp_millis(until_ms.parse().ok()?)?,
                })
            }
            "circuit" if !argument.is_empty() => Some(Self::CircuitChanged {
                circuit: argument.to_owned(),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_message_is_parsed() {
        let job = JobId::parse("report-7/each").unwrap();
        let cases = [
            ("cancel report-7/each", ControlMessage::Cancel(job)),
            ("config 12", ControlMessage::ConfigPushed { version: 12 }),
            ("paused", ControlMessage::PausesChanged),
            (
                "limited openai 1700000000000",
                ControlMessage::AccountHeld {
                    account: "openai".to_owned(),
                    until: DateTime::from_timestamp_millis(1_700_000_000_000).unwrap(),
                },
            ),
            (
                "circuit openai/gpt-5",
                ControlMessage::CircuitChanged {
                    circuit: "openai/gpt-5".to_owned(),
                },
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(ControlMessage::parse(message), Some(expected), "{message}");
        }
    }

    #[test]
    fn a_malformed_or_unknown_message_is_ignored() {
        for message in [
            "",
            "cancel",
            "cancel ",
            "config",
            "config new",
            "circuit",
            "limited openai",
            "limited openai soon",
            "limited openai 99999999999999999999",
            "reboot now",
        ] {
            assert_eq!(ControlMessage::parse(message), None, "{message}");
        }
    }
}
