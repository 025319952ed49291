//! What an error says about the connection that it came from.

use longshore_policy::redis::HostPort;
use redis::{RedisError, ServerError, ServerErrorKind};

/// What to do about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The command failed; the connection is sound.
    Command,
    /// The connection is closed or broken. Whether the command ran is unknown.
    Broken,
    /// The connection is stuck, for all that is known: no answer came in time. Whether the command ran is unknown.
    Stuck,
    /// The server no longer has the keys, or is no primary: the command did not run. It may have named the node to
    /// ask.
    Moved(Option<HostPort>),
    /// The server cannot run the command for now, and did not: it is loading, or the slot is being moved.
    NotNow,
}

impl Fault {
    pub(crate) fn of(error: &RedisError) -> Self {
        // A transaction that was aborted has an error for each command that was refused.
        if let Some(errors) = error.clone().into_server_errors() {
            let faults = errors.iter().map(|(_, error)| Self::of_reply(error));
            return faults.max_by_key(Self::severity).unwrap_or(Self::Command);
        }
        if error.is_timeout() {
            Self::Stuck
        } else if error.is_io_error() || error.is_unrecoverable_error() {
            Self::Broken
        } else {
            Self::Command
        }
    }

    pub(crate) fn of_reply(error: &ServerError) -> Self {
        match (error.kind(), error.code()) {
            (Some(ServerErrorKind::Moved), _) => Self::Moved(error.details().and_then(named_node)),
            // The second is the answer to a blocked command of a server that became a replica.
            (Some(ServerErrorKind::ReadOnly), _) | (_, "UNBLOCKED") => Self::Moved(None),
            (
                Some(
                    ServerErrorKind::Ask
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::BusyLoading,
                ),
                _,
            ) => Self::NotNow,
            _ => Self::Command,
        }
    }

    /// Whether the command certainly did not run, and may run soon.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Moved(_) | Self::NotNow)
    }

    fn severity(&self) -> u8 {
        match self {
            Self::Command => 0,
            Self::NotNow => 1,
            Self::Stuck => 2,
            Self::Broken => 3,
            Self::Moved(_) => 4,
        }
    }
}

/// The node in `SLOT HOST:PORT`. An empty host stands for the one that answered.
fn named_node(details: &str) -> Option<HostPort> {
    let (_, address) = details.split_once(' ')?;
    let (host, port) = address.trim_end().rsplit_once(':')?;
    (!host.is_empty()).then_some(HostPort {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(reply: &str) -> Fault {
        let reply = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        Fault::of(&reply.extract_error().unwrap_err())
    }

    #[test]
    fn replies_that_say_where_the_keys_are() {
        let node = HostPort {
            host: "10.0.0.1".to_owned(),
            port: 7001,
        };
        assert_eq!(fault("MOVED 5 10.0.0.1:7001"), Fault::Moved(Some(node)));
        assert_eq!(fault("MOVED 5 :7001"), Fault::Moved(None));
        for reply in [
            "READONLY You can't write against a read only replica.",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        ] {
            assert_eq!(fault(reply), Fault::Moved(None), "{reply}");
        }
    }

    #[test]
    fn replies_that_say_to_wait() {
        for reply in [
            "ASK 5 10.0.0.1:7001",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down",
        ] {
            assert_eq!(fault(reply), Fault::NotNow, "{reply}");
            assert!(fault(reply).is_refusal());
        }
    }

    #[test]
    fn other_errors_are_the_command_s() {
        for reply in [
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "NOPERM User x has no permissions to run the 'get' command",
            "NOSCRIPT No matching script.",
            "OOM command not allowed when used memory > 'maxmemory'.",
        ] {
            assert_eq!(fault(reply), Fault::Command, "{reply}");
        }
    }
}
