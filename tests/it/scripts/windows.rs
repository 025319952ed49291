//! Ended windows: closed without a further call, reported once, and removed in the end.

use longshore_broker::Consumed;
use longshore_policy::limits::MeterAmount;
use longshore_protocol::event::Event;

use super::{
    fixture::Fixture,
    meters::{BEFORE, NOW, budget, consumed, endless, window},
};

const DAY_SECONDS: i64 = 86_400;

fn over(amount: u64) -> MeterAmount {
    window("budget:b", BEFORE, 10, amount)
}

impl Fixture {
    /// The reported windows: used, and the limit.
    async fn told(&self) -> Vec<(u64, u64)> {
        let events = self.events().await;
        let events = events
            .iter()
            .filter_map(|(text, _)| serde_json::from_str::<Event>(text).ok());
        let windows = events.filter_map(|event| event.window);
        windows
            .map(|window| {
                assert_eq!((window.start_ms, window.end_ms), BEFORE);
                (window.used, window.limit)
            })
            .collect()
    }

    async fn close(&self) -> usize {
        let chains = ["budget:c:".to_owned()];
        self.broker
            .limits()
            .close_windows(100, &chains)
            .await
            .unwrap()
    }

    /// How long a meter is kept (s); -1 for ever, -2 not at all.
    async fn remembered(&self, meter: &str) -> i64 {
        let key = self.key(&format!("quota:{meter}"));
        self.ask(&["TTL", &key]).await
    }

    /// Makes a meter due to be checked.
    async fn make_due(&self, meter: &str) {
        let added: u64 = self
            .ask(&["ZADD", &self.key("windows"), "XX", "CH", "1", meter])
            .await;
        assert_eq!(added, 1, "{meter} is known");
    }
}

#[tokio::test]
async fn an_ended_window_is_reported_once_without_a_further_call() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[over(5)]).await;
    fixture.end(&call, consumed(1, 3)).await;
    assert_eq!(fixture.told().await, []);
    // Two leaders at the same time.
    let (one, two) = tokio::join!(fixture.close(), fixture.close());
    assert_eq!(one + two, 1);
    assert_eq!(fixture.told().await, [(3, 10)]);
    let left = fixture.remembered("budget:b").await;
    assert!((1..=DAY_SECONDS).contains(&left), "{left} s");

    // The next window is a new one, and the old one is not reported again.
    fixture.taking(&[budget(20, 1)]).await;
    assert_eq!(fixture.close().await, 0);
    assert_eq!(fixture.told().await, [(3, 10)]);
    assert_eq!(fixture.remembered("budget:b").await, -1);
    assert_eq!(fixture.sums("budget:b").await, (0, 1));
}

#[tokio::test]
async fn an_unused_window_is_not_reported() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[over(5)]).await;
    fixture.end(&call, consumed(1, 0)).await;
    assert_eq!(fixture.close().await, 1);
    assert_eq!(fixture.told().await, []);
}

#[tokio::test]
async fn a_current_window_is_not_closed() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[budget(10, 5)]).await;
    fixture.end(&call, Consumed::Unknown).await;
    assert_eq!(fixture.close().await, 0);
    let due: String = fixture
        .ask(&["ZSCORE", &fixture.key("windows"), "budget:b"])
        .await;
    assert_eq!(due, NOW.1.to_string());
}

#[tokio::test]
async fn a_call_that_ends_after_its_window_is_counted_in_it() {
    let fixture = Fixture::new().await;
    let [ended, late, later] = [
        fixture.taking(&[over(3)]).await,
        fixture.taking(&[over(3)]).await,
        fixture.taking(&[over(3)]).await,
    ];
    fixture.end(&ended, Consumed::Unknown).await;
    assert_eq!(fixture.close().await, 1);
    fixture.end(&late, consumed(1, 2)).await;
    assert_eq!(fixture.told().await, [(3, 10), (5, 10)]);
    fixture.taking(&[budget(20, 7)]).await;
    fixture.end(&later, Consumed::Unknown).await;
    assert_eq!(fixture.told().await, [(3, 10), (5, 10), (8, 10)]);
    assert_eq!(
        fixture.sums("budget:b").await,
        (0, 7),
        "the new one is its own"
    );
}

#[tokio::test]
async fn a_window_with_parked_jobs_is_kept() {
    let fixture = Fixture::new().await;
    fixture.taking(&[over(10)]).await;
    fixture.waiter(vec![over(1)]).await;
    assert_eq!(fixture.close().await, 1);
    assert_eq!(fixture.remembered("budget:b").await, -1);
    // Without parked jobs it expires like the others.
    let _gone: u64 = fixture
        .ask(&["DEL", &fixture.broker.keys().quota_lane("budget:b")])
        .await;
    fixture.make_due("budget:b").await;
    assert_eq!(fixture.close().await, 1);
    assert!(fixture.remembered("budget:b").await > 0);
}

#[tokio::test]
async fn the_budget_of_an_ended_chain_is_removed() {
    let fixture = Fixture::new().await;
    let of = |meter| endless(window(meter, (0, 0), 10, 2));
    let (chain, tenant) = ("budget:c:chain-1", "budget:t:acme");
    for meter in [chain, tenant] {
        let call = fixture.taking(&[of(meter)]).await;
        fixture.end(&call, Consumed::Unknown).await;
    }
    let look = async || {
        fixture.make_due(tenant).await;
        fixture.make_due(chain).await;
        assert_eq!(fixture.close().await, 2);
    };
    assert_eq!(fixture.close().await, 0, "not at once");
    look().await;
    // It has been used since.
    let call = fixture.taking(&[of(chain)]).await;
    look().await;
    assert_eq!(fixture.sums(chain).await, (2, 2), "somebody holds of it");
    fixture.end(&call, Consumed::Unknown).await;
    look().await;
    assert_eq!(fixture.sums(chain).await, (4, 0), "it was used since");
    look().await;
    assert_eq!(fixture.remembered(chain).await, -2);
    assert_eq!(
        fixture.sums(tenant).await,
        (2, 0),
        "a tenant's counts for ever"
    );
    assert_eq!(fixture.told().await, []);
    let known: Option<f64> = fixture
        .ask(&["ZSCORE", &fixture.key("windows"), chain])
        .await;
    assert_eq!(known, None);
}
