//! Delivers alerts to the webhook of the configuration, each until it arrives.
//!
//! Pending alerts are stored in Redis, so that a leader that dies loses none. If a leader dies after a delivery
//! and before it recorded it, the next leader delivers the alert again, with the same `webhook-id`, by which
//! the receiver recognises it.

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use longshore_broker::{Alert, Broker, BrokerError, ClaimedAlert, task};
use longshore_config::Config;
use longshore_policy::limits::MeterName;
use longshore_protocol::{
    clock::local_time,
    event::{AlertRecord, WindowUnit},
    money::Usd,
    review::ReviewAlert,
};
use longshore_service::{
    live_config::LiveConfig,
    webhook::{WebhookError, Webhooks},
};
use serde_json::{Value, json};
use tokio::{sync::OnceCell, task::JoinHandle};

/// Alerts that are delivered at the same time.
const BATCH: usize = 16;

/// How long a claim lasts beyond the timeout of the delivery.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// The delay before the next attempt is half of the alert's age: at least 1 s, and at most this.
const MAX_DELAY_MS: i64 = 10 * 60 * 1000;

/// The age at which an alert is dropped.
const GIVE_UP_MS: i64 = 3 * 24 * 3600 * 1000;

/// The deliveries of one scheduler. They run on a task of their own, because a receiver may be slow.
#[derive(Default)]
pub(crate) struct Deliveries {
    webhooks: Arc<OnceCell<Webhooks>>,
    running: Option<JoinHandle<()>>,
}

impl Deliveries {
    /// Starts to deliver the alerts that are due, unless a delivery is running.
    pub(crate) fn start(&mut self, broker: &Broker, config: &LiveConfig) {
        if self
            .running
            .as_ref()
            .is_some_and(|running| !running.is_finished())
        {
            return;
        }
        let (broker, config) = (broker.clone(), config.clone());
        let webhooks = Arc::clone(&self.webhooks);
        self.running = Some(task::spawn("alerts", async move {
            if let Err(error) = deliver(&broker, &config, &webhooks).await {
                tracing::warn!("delivery of alerts failed: {error}; retrying with the next scan");
            }
        }));
    }
}

async fn deliver(
    broker: &Broker,
    live: &LiveConfig,
    webhooks: &OnceCell<Webhooks>,
) -> Result<(), BrokerError> {
    let config = live.current();
    let lease = config.webhooks.timeout + CLAIM_MARGIN;
    loop {
        let claimed = broker.limits().claim_alerts(BATCH, lease).await?;
        let more = claimed.len() == BATCH;
        let deliveries = claimed.iter().map(|alert| async {
            let result = send(&config, live, webhooks, alert).await;
            record_result(broker, alert, result).await
        });
        for recorded in futures::future::join_all(deliveries).await {
            recorded?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// Sends an alert. Without a webhook in the configuration, it counts as delivered.
async fn send(
    config: &Config,
    live: &LiveConfig,
    webhooks: &OnceCell<Webhooks>,
    claimed: &ClaimedAlert,
) -> Result<(), WebhookError> {
    let Some(url) = &config.alerts.webhook else {
        return Ok(());
    };
    let webhooks = webhooks
        .get_or_try_init(|| async { Webhooks::new(live.clone()) })
        .await?;
    let body = message(config.namespace.as_str(), &claimed.alert).to_string();
    webhooks
        .post(url, &claimed.id, body.as_bytes(), local_time())
        .await
}

/// Removes a delivered alert, or schedules the next attempt.
async fn record_result(
    broker: &Broker,
    claimed: &ClaimedAlert,
    result: Result<(), WebhookError>,
) -> Result<(), BrokerError> {
    let ClaimedAlert { id, alert } = claimed;
    let Err(error) = result else {
        return broker.limits().remove_alert(id).await;
    };
    let now = broker.server().time_ms().await?;
    let next = next_attempt(alert.at_ms(), now).filter(|_| error.is_retryable());
    let Some(next) = next else {
        tracing::error!(about = about(alert), "alert dropped: {error}");
        return broker.limits().remove_alert(id).await;
    };
    tracing::warn!(
        about = about(alert),
        "delivery of an alert failed: {error}; retrying in {} s",
        (next - now) / 1000
    );
    broker.limits().delay_alert(id, next).await
}

/// The time of the next attempt; `None` if the alert is too old. All times are in ms since the epoch.
fn next_attempt(raised: i64, now: i64) -> Option<i64> {
    let age = now.saturating_sub(raised);
    (age < GIVE_UP_MS).then(|| now.saturating_add((age / 2).clamp(1000, MAX_DELAY_MS)))
}

/// What an alert is about, for the log.
fn about(alert: &Alert) -> String {
    match alert {
        Alert::Window(window) => format!("{} at {} %", window.meter, window.threshold),
        Alert::Review { review } => format!("review {}", review.id),
    }
}

/// The body of the webhook.
fn message(namespace: &str, alert: &Alert) -> Value {
    match alert {
        Alert::Window(window) => window_message(namespace, window),
        Alert::Review { review } => review_message(namespace, review),
    }
}

fn review_message(namespace: &str, review: &ReviewAlert) -> Value {
    json!({
        "type": "review.asked",
        "timestamp": review.asked_at.to_rfc3339(),
        "data": {
            "namespace": namespace,
            "id": review.id,
            "chain_id": review.chain,
            "step": review.step,
            "asks": review.asks,
            "question": review.question,
            "deadline": review.deadline.map(|at| at.to_rfc3339()),
        },
    })
}

fn window_message(namespace: &str, alert: &AlertRecord) -> Value {
    let time = |ms: i64| DateTime::from_timestamp_millis(ms).map(|at| at.to_rfc3339());
    let amount = |units: u64| match alert.unit {
        WindowUnit::Requests => json!(units),
        WindowUnit::NanoUsd => json!(Usd::from_nanos(units)),
    };
    let unit = match alert.unit {
        WindowUnit::Requests => "requests",
        WindowUnit::NanoUsd => "usd",
    };
    json!({
        "type": "quota.alert",
        "timestamp": time(alert.at_ms),
        "data": {
            "namespace": namespace,
            "meter": alert.meter,
            "name": MeterName::parse(&alert.meter).to_string(),
            "threshold": alert.threshold,
            "unit": unit,
            "used": amount(alert.used),
            "limit": amount(alert.limit),
            "window_start": time(alert.start_ms),
            "window_end": alert.end_ms.and_then(time),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_with_the_age_of_the_alert_and_end_after_three_days() {
        let delay = |age: i64| next_attempt(5_000, 5_000 + age).map(|at| at - 5_000 - age);
        assert_eq!(delay(0), Some(1_000));
        assert_eq!(delay(3_000), Some(1_500));
        assert_eq!(delay(60_000), Some(30_000));
        assert_eq!(delay(86_400_000), Some(600_000));
        assert_eq!(delay(3 * 86_400_000), None);
        assert_eq!(
            next_attempt(5_000, 0),
            Some(1_000),
            "a clock that was set back"
        );
    }

    #[test]
    fn the_message_has_every_field_and_amounts_in_readable_units() {
        let alert = AlertRecord {
            meter: "budget:team:acme".to_owned(),
            unit: WindowUnit::NanoUsd,
            start_ms: 0,
            end_ms: None,
            threshold: 80,
            used: 80_123_000_000,
            limit: 100_000_000_000,
            at_ms: 1_500,
        };
        assert_eq!(
            window_message("longshore", &alert),
            json!({
                "type": "quota.alert",
                "timestamp": "1970-01-01T00:00:01.500+00:00",
                "data": {
                    "namespace": "longshore",
                    "meter": "budget:team:acme",
                    "name": "the budget team of acme",
                    "threshold": 80,
                    "unit": "usd",
                    "used": "80.123",
                    "limit": "100",
                    "window_start": "1970-01-01T00:00:00+00:00",
                    "window_end": null,
                },
            })
        );
        let requests = AlertRecord {
            meter: "rpd:openai".to_owned(),
            unit: WindowUnit::Requests,
            end_ms: Some(86_400_000),
            used: 45,
            limit: 50,
            ..alert
        };
        let data = &window_message("longshore", &requests)["data"];
        assert_eq!((&data["used"], &data["limit"]), (&json!(45), &json!(50)));
        assert_eq!(data["window_end"], "1970-01-02T00:00:00+00:00");
    }
}
