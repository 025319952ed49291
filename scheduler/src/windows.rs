//! Windows of quotas and budgets: closed when they are over, and told of as they fill up.

use longshore_broker::{Broker, BrokerError};
use longshore_config::Config;
use longshore_policy::limits::{Budget, MeterName};
use longshore_protocol::event::AlertRecord;

/// Windows that one step closes, or looks through for alerts: it holds Redis for well under 10 ms.
const SOME: usize = 200;

/// What a look found.
pub(crate) struct Look {
    /// Whether there may be more to do at once.
    pub(crate) more: bool,
    /// Whether alerts wait to be delivered.
    pub(crate) alerts: bool,
}

/// Closes windows that are over, and raises alerts of those that fill up.
pub(crate) async fn look(broker: &Broker, config: &Config) -> Result<Look, BrokerError> {
    let forgettable = config.budgets.iter().filter_map(Budget::forgettable);
    let forgettable: Vec<String> = forgettable.collect();
    let closed = broker.limits().close_windows(SOME, &forgettable).await?;
    let raised = broker
        .limits()
        .raise_alerts(SOME, &config.alerts.at)
        .await?;
    raised.alerts.iter().for_each(tell);
    Ok(Look {
        more: closed >= SOME || raised.looked >= SOME,
        alerts: raised.waiting,
    })
}

fn tell(alert: &AlertRecord) {
    let meter = MeterName::parse(&alert.meter);
    let threshold = alert.threshold.to_string();
    // Not by tenant or chain: there may be millions of those.
    let labels = [("meter", meter.shared()), ("threshold", threshold)];
    metrics::counter!("longshore_quota_alerts_total", &labels).increment(1);
    tracing::warn!(
        meter = alert.meter,
        threshold = alert.threshold,
        used = alert.used,
        limit = alert.limit,
        unit = alert.unit.as_str(),
        "{} % of {meter} are used",
        alert.threshold
    );
}
