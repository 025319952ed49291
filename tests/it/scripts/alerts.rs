//! Alerts: once per window whoever checks, and kept until delivered.

use std::time::Duration;

use longshore_broker::{Alert, Consumed};
use longshore_protocol::event::Event;

use super::{
    fixture::Fixture,
    meters::{BEFORE, budget, consumed, endless, window},
};

const LONG: Duration = Duration::from_mins(1);

impl Fixture {
    /// Uses this much of a budget.
    async fn spend(&self, limit: u64, amount: u64) {
        let call = self.taking(&[budget(limit, amount)]).await;
        self.end(&call, Consumed::Unknown).await;
    }

    /// Checks meters and returns the passed thresholds.
    async fn raised(&self) -> Vec<u8> {
        let raised = self
            .broker
            .limits()
            .raise_alerts(100, &[50, 80, 90])
            .await
            .unwrap();
        let alerts = raised.alerts.iter();
        alerts.map(|alert| alert.threshold).collect()
    }

    /// How many meters are due to be checked.
    async fn to_look_at(&self) -> u64 {
        self.ask(&["SCARD", &self.key("alerts:look")]).await
    }
}

#[tokio::test]
async fn each_threshold_is_reported_once_per_window() {
    let fixture = Fixture::new().await;
    let before = |amount| [window("budget:b", BEFORE, 100, amount)];
    let call = fixture.taking(&before(49)).await;
    assert_eq!(
        fixture.raised().await,
        [] as [u8; 0],
        "what is held comes back"
    );
    fixture.end(&call, Consumed::Unknown).await;
    assert_eq!(fixture.raised().await, [] as [u8; 0]);
    for (amount, alerts) in [(1, vec![50]), (1, vec![]), (44, vec![80, 90]), (5, vec![])] {
        let call = fixture.taking(&before(amount)).await;
        fixture.end(&call, Consumed::Unknown).await;
        assert_eq!(fixture.raised().await, alerts, "{amount}");
        assert_eq!(fixture.raised().await, [] as [u8; 0]);
    }
    fixture.spend(100, 85).await;
    assert_eq!(fixture.raised().await, [50, 80], "the next one begins anew");

    let events = fixture.events().await;
    let events = events
        .iter()
        .filter_map(|(text, _)| serde_json::from_str::<Event>(text).ok());
    let recorded: Vec<_> = events
        .filter_map(|event| event.alert)
        .map(|alert| (alert.start_ms, alert.threshold, alert.used, alert.limit))
        .collect();
    let expected = [
        (1_000, 50, 50, 100),
        (1_000, 80, 95, 100),
        (1_000, 90, 95, 100),
        (2_000, 50, 85, 100),
        (2_000, 80, 85, 100),
    ];
    assert_eq!(recorded, expected);
}

#[tokio::test]
async fn two_leaders_report_no_threshold_twice() {
    let fixture = Fixture::new().await;
    fixture.spend(100, 95).await;
    let (mut one, two) = tokio::join!(fixture.raised(), fixture.raised());
    one.extend(two);
    one.sort_unstable();
    assert_eq!(one, [50, 80, 90]);
    // A repeated report, as after a lost reply, adds none.
    let _added: u64 = fixture
        .ask(&[
            "SADD",
            &fixture.key("alerts:look"),
            "budget:b",
            "budget:gone",
        ])
        .await;
    assert_eq!(fixture.raised().await, [] as [u8; 0]);
}

#[tokio::test]
async fn a_meter_is_checked_only_after_a_whole_percent_more() {
    let fixture = Fixture::new().await;
    fixture.spend(1000, 9).await;
    assert_eq!(fixture.to_look_at().await, 0);
    fixture.spend(1000, 1).await;
    assert_eq!(fixture.to_look_at().await, 1);
    fixture.raised().await;
    fixture.spend(1000, 9).await;
    assert_eq!(fixture.to_look_at().await, 0);
}

#[tokio::test]
async fn a_changed_limit_applies_to_thresholds() {
    let fixture = Fixture::new().await;
    fixture.spend(100, 45).await;
    assert_eq!(fixture.raised().await, [] as [u8; 0]);
    fixture.spend(50, 1).await;
    assert_eq!(fixture.raised().await, [50, 80, 90]);
}

#[tokio::test]
async fn an_alert_is_kept_until_delivered_and_claimed_by_one_process() {
    let fixture = Fixture::new().await;
    let take = endless(window("budget:team:Köln \"&\" Co", (0, 0), 10, 9));
    let call = fixture.taking(std::slice::from_ref(&take)).await;
    fixture.end(&call, consumed(1, 6)).await;
    assert_eq!(fixture.raised().await, [50]);

    let broker = &fixture.broker;
    let (one, two) = tokio::join!(
        broker.limits().claim_alerts(9, LONG),
        broker.limits().claim_alerts(9, LONG)
    );
    let mut claimed = one.unwrap();
    claimed.extend(two.unwrap());
    assert_eq!(claimed.len(), 1);
    let first = claimed.remove(0);
    let Alert::Window(alert) = &first.alert else {
        panic!("{first:?}");
    };
    assert_eq!(alert.meter, take.meter());
    assert_eq!((alert.threshold, alert.end_ms), (50, None));

    // Its claim expired: it is due again, unchanged.
    broker.limits().delay_alert(&first.id, 0).await.unwrap();
    let again = broker
        .limits()
        .claim_alerts(9, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(again, std::slice::from_ref(&first));
    assert!(broker.limits().raise_alerts(9, &[]).await.unwrap().waiting);
    broker.limits().remove_alert(&first.id).await.unwrap();
    assert!(!broker.limits().raise_alerts(9, &[]).await.unwrap().waiting);
    // A late answer of the first claimer changes nothing.
    broker.limits().delay_alert(&first.id, 0).await.unwrap();
    assert_eq!(broker.limits().claim_alerts(9, LONG).await.unwrap(), []);
    let names = fixture.names().await;
    assert!(
        !names.contains("alerts") && !names.contains("alerts:due"),
        "{names:?}"
    );
}
