//! Failures of deliveries.

use http::StatusCode;
use longshore_policy::webhook::{WebhookHost, WebhookRefusal};

/// Why a webhook was not delivered. Shows only the host of an address: its path may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The configuration does not allow the address.
    #[error(transparent)]
    Address(#[from] WebhookRefusal),
    /// There is no key to sign with.
    #[error(
        "webhooks cannot be signed: `webhooks.secret` has no value; set the variable that it names in the \
         environment of this process"
    )]
    NoSecret,
    /// The HTTP client cannot be created.
    #[error("cannot create an HTTP client: {0}")]
    Client(reqwest::Error),
    /// The receiver did not answer in time, or at all.
    #[error("{host} is unreachable: {cause}")]
    Unreachable {
        /// The receiver.
        host: WebhookHost,
        /// The error of the HTTP client.
        cause: reqwest::Error,
    },
    /// The receiver answered with an error.
    #[error("{host} answered {status}; expected 200 to 299 (redirects are not followed)")]
    Refused {
        /// The receiver.
        host: WebhookHost,
        /// The status of its answer.
        status: StatusCode,
    },
}

impl WebhookError {
    /// Whether a later delivery may succeed: the receiver is down or overloaded, or the sender is not yet
    /// configured.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoSecret | Self::Client(_) => true,
            Self::Unreachable { cause, .. } => !cause.is_builder(),
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
