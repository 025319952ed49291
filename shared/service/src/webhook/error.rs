//! Why a webhook does not arrive.

use http::StatusCode;
use longshore_policy::webhook::{WebhookHost, WebhookRefusal};

/// Why a webhook does not arrive. Nothing of an address but its host is told: its path may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The configuration does not allow the address.
    #[error(transparent)]
    Address(#[from] WebhookRefusal),
    /// Nothing to sign with.
    #[error(
        "webhooks cannot be signed: `webhooks.secret` is not set here; set the variable that it names, \
         where this process runs"
    )]
    NoSecret,
    /// No client.
    #[error("no HTTP client: {0}")]
    Client(reqwest::Error),
    /// The receiver was not reached, or did not answer in time.
    #[error("{host} was not reached: {cause}")]
    Unreached {
        /// The receiver.
        host: WebhookHost,
        /// What is wrong.
        cause: reqwest::Error,
    },
    /// The receiver did not take it.
    #[error("{host} answered {status}; expected 200 to 299 (redirects are not followed)")]
    Refused {
        /// The receiver.
        host: WebhookHost,
        /// What it answered.
        status: StatusCode,
    },
}

impl WebhookError {
    /// Whether the same may arrive later: the receiver was away or overloaded, or has to be set up first.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoSecret | Self::Client(_) => true,
            Self::Unreached { cause, .. } => !cause.is_builder(),
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Address(_) => false,
        }
    }
}
