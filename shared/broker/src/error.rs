//! Errors of the broker.

use std::fmt;

use longshore_protocol::encryption::CannotEncrypt;
use redis::RedisError;

use crate::connection::{Fault, UnusableFile};

/// Why a call of the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is not valid.
    #[error(
        "REDIS_URL is not valid: {0}; expected redis://[user:password@]host:port[/db], \
         redis+sentinel://host:port,host:port/name, redis+cluster://host:port,host:port, or rediss… for TLS"
    )]
    Url(String),
    /// A file that the settings name cannot be used.
    #[error(transparent)]
    File(#[from] UnusableFile),
    /// Redis cannot be reached, or did not answer in time.
    #[error("Redis at {address} cannot be reached: {source}{hint}", hint = hint(source))]
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
    /// A value cannot be encrypted.
    #[error(transparent)]
    Encrypt(#[from] CannotEncrypt),
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
        match Fault::of(&source) {
            Fault::Command => Self::Command {
                address: address.to_owned(),
                source,
            },
            _ => Self::unreachable(address, source),
        }
    }

    pub(crate) fn unreachable(address: &str, source: RedisError) -> Self {
        Self::Unreachable {
            address: address.to_owned(),
            source,
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

/// What would be right, for errors that do not say it.
fn hint(error: &RedisError) -> &'static str {
    let text = error.to_string();
    if text.contains("AuthenticationFailed") {
        "; Redis refused the user or its password"
    } else if ["UnknownIssuer", "BadSignature"]
        .iter()
        .any(|code| text.contains(code))
    {
        "; the server's certificate is signed by none of the trusted authorities, set `redis.ca_file`"
    } else if text.contains("NotValidForName") {
        "; the server's certificate is for another host name"
    } else if text.contains("CertificateRequired") {
        "; the server asks for a client certificate, set `redis.cert_file` and `redis.key_file`"
    } else {
        ""
    }
}
