//! Delivers alerts to the webhook that the configuration names, each until it arrived.
//!
//! What is to be delivered stands in Redis, so that a leader that dies loses none. One that dies after
//! an alert arrived and before it was noted leaves it to the next, which sends it again: with the same
//! `webhook-id`, by which the receiver knows it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, Claimed};
use longshore_config::Config;
use longshore_policy::limits::MeterName;
use longshore_protocol::{
    event::{AlertRecord, WindowUnit},
    money::Usd,
};
use longshore_service::{
    live_config::LiveConfig,
    webhook::{WebhookError, Webhooks},
};
use serde_json::{Value, json};
use tokio::{sync::OnceCell, task::JoinHandle};

/// Alerts that are on their way at once.
const SOME: usize = 16;

/// What noting a delivery may take beside the call itself.
const SLACK: Duration = Duration::from_secs(5);

/// Waits between tries are half of an alert's age: 1 s at first, and no longer than this.
const LONGEST_WAIT_MS: i64 = 10 * 60 * 1000;

/// Older alerts are given up.
const GIVE_UP_MS: i64 = 3 * 24 * 3600 * 1000;

/// The deliveries of one scheduler. They go beside the leader's other duties: a receiver may be slow.
#[derive(Default)]
pub(crate) struct Deliveries {
    webhooks: Arc<OnceCell<Webhooks>>,
    running: Option<JoinHandle<()>>,
}

impl Deliveries {
    /// Delivers what is due, unless that is under way.
    pub(crate) fn go_on(&mut self, broker: &Broker, config: &LiveConfig) {
        if self
            .running
            .as_ref()
            .is_some_and(|running| !running.is_finished())
        {
            return;
        }
        let (broker, config) = (broker.clone(), config.clone());
        let webhooks = Arc::clone(&self.webhooks);
        self.running = Some(tokio::spawn(async move {
            if let Err(error) = deliver(&broker, &config, &webhooks).await {
                tracing::warn!("alerts wait to be delivered: {error}");
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
    let lease = config.webhooks.timeout + SLACK;
    loop {
        let claimed = broker.limits().claim_alerts(SOME, lease).await?;
        let more = claimed.len() == SOME;
        let each = claimed.iter().map(|one| async {
            let sent = send(&config, live, webhooks, one).await;
            note(broker, one, sent).await
        });
        for noted in futures::future::join_all(each).await {
            noted?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// Sends an alert, where it is to be sent anywhere.
async fn send(
    config: &Config,
    live: &LiveConfig,
    webhooks: &OnceCell<Webhooks>,
    one: &Claimed,
) -> Result<(), WebhookError> {
    let Some(url) = &config.alerts.webhook else {
        return Ok(());
    };
    let webhooks = webhooks
        .get_or_try_init(|| async { Webhooks::new(live.clone()) })
        .await?;
    let body = message(config.namespace.as_str(), &one.alert).to_string();
    webhooks
        .post(url, &one.id, body.as_bytes(), Utc::now())
        .await
}

/// Remembers what became of a delivery.
async fn note(
    broker: &Broker,
    one: &Claimed,
    sent: Result<(), WebhookError>,
) -> Result<(), BrokerError> {
    let Err(error) = sent else {
        return broker.limits().remove_alert(&one.id).await;
    };
    let now = broker.server().time_ms().await?;
    let again = next_try(one.alert.at_ms, now).filter(|_| error.is_retryable());
    let Some(at) = again else {
        tracing::error!(
            meter = one.alert.meter,
            threshold = one.alert.threshold,
            "an alert is given up: {error}"
        );
        return broker.limits().remove_alert(&one.id).await;
    };
    tracing::warn!(
        meter = one.alert.meter,
        "an alert did not arrive: {error}; again in {} s",
        (at - now) / 1000
    );
    broker.limits().delay_alert(&one.id, at).await
}

/// When an alert is tried again (ms since the epoch); `None` when it is too old.
fn next_try(raised: i64, now: i64) -> Option<i64> {
    let age = now.saturating_sub(raised);
    (age < GIVE_UP_MS).then(|| now.saturating_add((age / 2).clamp(1000, LONGEST_WAIT_MS)))
}

/// What the receiver gets.
fn message(namespace: &str, alert: &AlertRecord) -> Value {
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
    fn waits_grow_with_the_alerts_age_and_end_after_three_days() {
        let wait = |age: i64| next_try(5_000, 5_000 + age).map(|at| at - 5_000 - age);
        assert_eq!(wait(0), Some(1_000));
        assert_eq!(wait(3_000), Some(1_500));
        assert_eq!(wait(60_000), Some(30_000));
        assert_eq!(wait(86_400_000), Some(600_000));
        assert_eq!(wait(3 * 86_400_000), None);
        assert_eq!(next_try(5_000, 0), Some(1_000), "a clock that went back");
    }

    #[test]
    fn a_message_says_all_of_it_in_units_that_people_know() {
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
            message("longshore", &alert),
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
        let data = &message("longshore", &requests)["data"];
        assert_eq!((&data["used"], &data["limit"]), (&json!(45), &json!(50)));
        assert_eq!(data["window_end"], "1970-01-02T00:00:00+00:00");
    }
}
