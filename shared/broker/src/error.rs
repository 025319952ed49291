//! Errors of the broker.

use std::fmt;

use redis::RedisError;

/// Why a call of the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is not valid.
    #[error(
        "REDIS_URL is not valid: {0}; expected redis://[user:password@]host:port[/db] or rediss://…"
    )]
    Url(String),
    /// Redis cannot be reached, or did not answer in time.
    #[error("Redis at {address} cannot be reached: {source}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The error of the connection.
        source: RedisError,
    },
    /// Redis answered with an error.
    #[error("Redis at {address}: {source}")]
    Command {
        /// Host and port.
        address: String,
        /// The error that Redis returned.
        source: RedisError,
    },
    /// The pool of connections is exhausted or closed.
    #[error("Redis at {address}: no free connection: {reason}")]
    Pool {
        /// Host and port.
        address: String,
        /// The error of the pool.
        reason: String,
    },
    /// A script returned a reply that its header does not list.
    #[error("script `{script}` returned an unexpected reply: `{reply}`")]
    UnexpectedReply {
        /// The script, as its file is named.
        script: &'static str,
        /// Its reply; the parts of a list separated by spaces.
        reply: String,
    },
    /// A script could not do its work for one job of a call.
    #[error("script `{script}` failed: {error}")]
    Script {
        /// The script, as its file is named.
        script: &'static str,
        /// The error of the command that failed.
        error: String,
    },
    /// A value cannot be written as JSON.
    #[error("a {what} cannot be written as JSON: {reason}")]
    NotSerializable {
        /// What kind of value.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A value in Redis cannot be parsed.
    #[error("`{key}` in Redis holds something that Longshore did not write: {reason}")]
    Foreign {
        /// The key.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
}

impl BrokerError {
    pub(crate) fn from_redis(address: &str, source: RedisError) -> Self {
        let address = address.to_owned();
        if source.is_io_error() || source.is_connection_refusal() || source.is_timeout() {
            Self::Unreachable { address, source }
        } else {
            Self::Command { address, source }
        }
    }

    pub(crate) fn unexpected_reply(script: &'static str, reply: impl Into<String>) -> Self {
        Self::UnexpectedReply {
            script,
            reply: reply.into(),
        }
    }

    pub(crate) fn not_serializable(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::NotSerializable {
            what,
            reason: reason.to_string(),
        }
    }

    pub(crate) fn foreign(key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Foreign {
            key: key.into(),
            reason: reason.to_string(),
        }
    }
}
