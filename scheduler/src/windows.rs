//! Closes windows of quotas and budgets that have ended, and raises alerts for those that fill up.

use std::time::Duration;

use longshore_broker::{Broker, BrokerError};
use longshore_config::Config;
use longshore_policy::limits::{Budget, MeterName};
use longshore_protocol::event::AlertRecord;
use longshore_service::instruments::QUOTA_ALERTS;
use longshore_service::live_config::LiveConfig;

use crate::{alerts::Deliveries, duty::Timer};

/// Windows that one script call closes or checks for alerts. It blocks Redis for less than 10 ms.
const BATCH: usize = 200;

pub(crate) struct Windows {
    timer: Timer,
    deliveries: Deliveries,
}

impl Windows {
    /// An alert is raised at most this much later than its threshold is passed.
    pub(crate) fn scanned_every(interval: Duration) -> Self {
        Self {
            timer: Timer::every(interval),
            deliveries: Deliveries::default(),
        }
    }

    /// Whether the last run left windows that have ended or fill up.
    pub(crate) fn has_more(&self) -> bool {
        self.timer.is_reset()
    }

    /// Closes windows and raises alerts, if it is time to. Starts the delivery of alerts.
    pub(crate) async fn close_and_raise_alerts(
        &mut self,
        broker: &Broker,
        live: &LiveConfig,
    ) -> Result<(), BrokerError> {
        if !self.timer.is_due() {
            return Ok(());
        }
        let config: &Config = &live.current();
        let forgettable: Vec<String> = config
            .budgets
            .iter()
            .filter_map(Budget::forgettable)
            .collect();
        let closed = broker.limits().close_windows(BATCH, &forgettable).await?;
        let raised = broker
            .limits()
            .raise_alerts(BATCH, &config.alerts.at)
            .await?;
        raised.alerts.iter().for_each(report_alert);
        if closed >= BATCH || raised.scanned >= BATCH {
            self.timer.reset();
        }
        if raised.waiting {
            self.deliveries.start(broker, live);
        }
        Ok(())
    }
}

fn report_alert(alert: &AlertRecord) {
    let meter = MeterName::parse(&alert.meter);
    let threshold = alert.threshold.to_string();
    // Without tenant and chain: there may be millions of them.
    QUOTA_ALERTS.add([&meter.shared(), &threshold], 1);
    tracing::warn!(
        meter = alert.meter,
        threshold = alert.threshold,
        used = alert.used,
        limit = alert.limit,
        unit = alert.unit.as_str(),
        "{meter}: {} % used",
        alert.threshold
    );
}
