//! Publishes the gauges of `/metrics`: queues, dead letters, limits, reviews and the lag of the ledger.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, MeterUsage};
use longshore_config::Config;
use longshore_policy::limits::Meters;
use longshore_service::instruments::{
    DEAD_LETTERS, EVENTS_UNRECORDED, JOBS_SCHEDULED, LEDGER_LAG, QUEUE_DEPTH, QUEUE_OLDEST_AGE,
    QUEUE_RUNNING, QUOTA_USED, QUOTA_WAITING, REVIEWS_OLDEST_AGE, REVIEWS_OPEN,
};

use crate::duty::{Background, Timer};

/// Publishes every `interval`, while this scheduler leads.
pub(crate) async fn publish_gauges(background: Background, interval: Duration) {
    let mut timer = Timer::every(interval);
    while background.next_run(&mut timer).await {
        if let Err(error) = publish(&background.broker, &background.config.current()).await {
            tracing::warn!("gauges not updated: {error}; retrying in {interval:?}");
        }
    }
}

async fn publish(broker: &Broker, config: &Config) -> Result<(), BrokerError> {
    let now_ms = broker.server().time_ms().await?;
    let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    publish_queues(broker, now).await?;
    publish_limits(broker, config, now).await?;
    JOBS_SCHEDULED.set_count([], broker.lanes().scheduled_count().await?);
    DEAD_LETTERS.set_count([], broker.dead_letters().count().await?);
    EVENTS_UNRECORDED.set_count([], broker.events().unrecorded_count().await?);
    let oldest = broker.events().oldest_unrecorded().await?;
    LEDGER_LAG.set([], seconds_since(oldest, now_ms));
    let reviews = broker.reviews().count().await?;
    let asked = reviews.oldest.map(|asked| asked.timestamp_millis());
    REVIEWS_OPEN.set_count([], reviews.count);
    REVIEWS_OLDEST_AGE.set([], seconds_since(asked, now_ms));
    Ok(())
}

async fn publish_queues(broker: &Broker, now: DateTime<Utc>) -> Result<(), BrokerError> {
    let queues = broker.queues();
    for queue in queues.registered().await? {
        let depth = queues.depth(&queue).await?;
        let queue = [queue.as_str()];
        let oldest = depth.oldest_at.map(|oldest| oldest.timestamp_millis());
        QUEUE_DEPTH.set_count(queue, depth.available);
        QUEUE_RUNNING.set_count(queue, depth.running);
        QUEUE_OLDEST_AGE.set(queue, seconds_since(oldest, now.timestamp_millis()));
    }
    Ok(())
}

/// Of the limits that all jobs share: there may be millions of tenants and chains.
async fn publish_limits(
    broker: &Broker,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<(), BrokerError> {
    let meters = Meters::new(&config.catalog, &config.budgets, &config.queue_limits);
    for report in broker.limits().meters(&meters.all(now)).await? {
        let meter = [report.meter.as_str()];
        if let Some(used) = used_ratio(&report.fill) {
            QUOTA_USED.set(meter, used);
        }
        QUOTA_WAITING.set_count(meter, report.waiting);
    }
    Ok(())
}

/// `None` for a rate: its calls are paced, so it is used to the full or not at all.
#[expect(clippy::cast_precision_loss, reason = "a share")]
fn used_ratio(usage: &MeterUsage) -> Option<f64> {
    let (used, limit) = match usage {
        MeterUsage::Rate { .. } => return None,
        MeterUsage::Window(window) => (window.taken(), window.limit),
        MeterUsage::Slots { cap, in_use, .. } => (*in_use, u64::from(*cap)),
    };
    Some(if limit == 0 {
        1.0
    } else {
        used as f64 / limit as f64
    })
}

/// Seconds from a time to now, both in ms since 1970; 0 without a time.
#[expect(clippy::cast_precision_loss, reason = "a span")]
fn seconds_since(then_ms: Option<i64>, now_ms: i64) -> f64 {
    let passed = then_ms.map_or(0, |then| now_ms - then);
    passed.max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_spans_are_not_negative() {
        let slots = |cap, in_use| MeterUsage::Slots {
            limit: 9,
            cap,
            in_use,
        };
        let rate = MeterUsage::Rate {
            per_minute: 60,
            free: 45,
        };
        assert_eq!(used_ratio(&rate), None);
        let shares =
            [slots(4, 3), slots(0, 0)].map(|usage| used_ratio(&usage).unwrap().to_string());
        assert_eq!(shares, ["0.75", "1"]);
        let spans = [Some(1_500), Some(5_000), None];
        let spans = spans.map(|then| seconds_since(then, 4_000).to_string());
        assert_eq!(spans, ["2.5", "0", "0"]);
    }
}
