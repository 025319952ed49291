//! Deliveries.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::CONTENT_TYPE;
use longshore_policy::webhook::{WebhookHost, WebhookRefusal};
use reqwest::{Client, redirect::Policy};
use url::Url;

use super::WebhookError;
use crate::live_config::LiveConfig;

/// Sends webhooks according to the current configuration.
#[derive(Debug, Clone)]
pub struct Webhooks {
    client: Client,
    config: LiveConfig,
}

impl Webhooks {
    pub fn new(config: LiveConfig) -> Result<Self, WebhookError> {
        crate::tls::install_crypto_provider();
        let client = Client::builder()
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // A receiver must not redirect to a host that the configuration does not allow.
            .redirect(Policy::none())
            .referer(false)
            .build()
            .map_err(WebhookError::Client)?;
        Ok(Self { client, config })
    }

    /// Sends a JSON document, once. Use the same `id` for each attempt to deliver the same message; `now` is
    /// the time of this attempt.
    pub async fn post(
        &self,
        url: &Url,
        id: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), WebhookError> {
        let config = self.config.current();
        let settings = &config.webhooks;
        settings.allow(url)?;
        let host = WebhookHost::from_url(url).ok_or(WebhookRefusal::Address)?;
        let timestamp = now.timestamp();
        let key = settings.secret.as_ref();
        let signature = key
            .and_then(|key| key.sign(id, timestamp, body))
            .ok_or(WebhookError::NoSecret)?;
        let sent = self
            .client
            .post(url.clone())
            .timeout(settings.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body.to_vec())
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(WebhookError::Refused {
                host,
                status: answer.status(),
            }),
            Err(cause) => Err(WebhookError::Unreachable {
                host,
                cause: cause.without_url(),
            }),
        }
    }
}
