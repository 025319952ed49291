//! Limits that are new or changed: jobs wait for the first correction of money; corrections replace each other.

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use longshore_broker::{Begun, StoredLimitRecord, WindowCorrection};
use longshore_config::Config;
use longshore_policy::limits::{
    AtLimit, Budget, BudgetScope, Calendar, LimitRecord, MeterAmount, Meters, Period, WindowLimit,
};
use longshore_protocol::platform::PlatformName;
use longshore_settings::Environment;

use super::{
    fixture::{Fixture, redis},
    meters::consumed,
};

const NANOS: u64 = 1_000_000_000;

/// A budget of $10 that never ends.
fn limit(scope: BudgetScope, hard: bool) -> WindowLimit {
    let budget = Budget {
        name: "b".to_owned(),
        scope,
        limit: "10".parse().unwrap(),
        period: Period::Ever,
        calendar: Calendar::default(),
        hard,
        at_limit: AtLimit::Wait,
    };
    let config = Config::from_yaml(&Environment::default(), Path::new("x.yaml"), "").unwrap();
    let meters = Meters::new(&config.catalog, &[budget], &config.queue_limits);
    meters.window_limits().into_iter().next().unwrap()
}

fn hard() -> WindowLimit {
    limit(BudgetScope::Overall, true)
}

fn dollars(limit: &WindowLimit, dollars: u64) -> MeterAmount {
    let mut amount = limit.nothing_of("", DateTime::UNIX_EPOCH);
    if let MeterAmount::Window { amount, .. } = &mut amount {
        *amount = dollars * NANOS;
    }
    amount
}

fn since(limit: &WindowLimit, previous: Option<&LimitRecord>, seconds: i64) -> LimitRecord {
    let from = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
    LimitRecord::changed(previous, Some(limit.definition.clone()), from)
}

impl Fixture {
    async fn lead(&self) {
        let lease = Duration::from_mins(10);
        let leads = self.broker.leader().acquire("a", lease).await.unwrap();
        assert!(leads.is_some());
    }

    async fn stored(&self) -> Option<StoredLimitRecord> {
        let records = self.broker.limits().records().await.unwrap();
        records.into_values().next()
    }

    async fn correct(
        &self,
        limit: &WindowLimit,
        record: &LimitRecord,
        used: i64,
        held: i64,
    ) -> bool {
        let read = self.stored().await;
        let windows = [(
            limit.nothing_of("", DateTime::UNIX_EPOCH),
            WindowCorrection { used, held },
        )];
        let limits = self.broker.limits();
        limits
            .correct_windows(&limit.name, read.as_ref(), record, &windows)
            .await
            .unwrap()
    }

    async fn field(&self, meter: &str, field: &str) -> Option<i64> {
        self.ask(&["HGET", &self.key(&format!("quota:{meter}")), field])
            .await
    }
}

#[tokio::test]
async fn a_new_budget_has_no_room_until_the_leader_has_corrected_it() {
    let fixture = Fixture::new().await;
    fixture.lead().await;
    let limit = hard();
    let (call, begun) = fixture.try_to_take(&[dollars(&limit, 2)]).await;
    assert_eq!(begun, Begun::Full);

    let nine = 9 * i64::try_from(NANOS).unwrap();
    assert!(
        fixture
            .correct(&limit, &since(&limit, None, 5), nine, 0)
            .await
    );
    assert_eq!(fixture.sums("budget:b").await, (nine, 0));
    assert_eq!(fixture.field("budget:b", "since").await, None);
    let two = fixture
        .begin_taking(&call, &[dollars(&limit, 2)], false)
        .await;
    assert_eq!(two, Begun::Full, "$1 is left");
    fixture.taking(&[dollars(&limit, 1)]).await;
}

#[tokio::test]
async fn without_a_leader_and_after_a_minute_jobs_go_ahead() {
    let fixture = Fixture::new().await;
    let limit = hard();
    fixture.taking(&[dollars(&limit, 2)]).await;
    let counts_since = fixture.field("budget:b", "since").await.unwrap();
    let now = fixture.broker.server().time_ms().await.unwrap();
    assert!(
        (now - 5_000..=now).contains(&counts_since),
        "{counts_since}"
    );

    let fixture = Fixture::new().await;
    fixture.lead().await;
    let (call, begun) = fixture.try_to_take(&[dollars(&limit, 2)]).await;
    assert_eq!(begun, Begun::Full);
    let key = fixture.key("quota:budget:b");
    let ttl: i64 = fixture.ask(&["TTL", &key]).await;
    assert!(
        (1..=86_400).contains(&ttl),
        "a meter that nobody uses goes: {ttl}"
    );
    let minute_ago = (now - 61_000).to_string();
    let _: i64 = fixture
        .ask(&["HSET", &key, "awaited_since", &minute_ago])
        .await;
    let begun = fixture
        .begin_taking(&call, &[dollars(&limit, 2)], false)
        .await;
    assert_eq!(begun, super::fixture::BEGUN);
}

#[tokio::test]
async fn soft_budgets_and_requests_never_wait() {
    let fixture = Fixture::new().await;
    fixture.lead().await;
    fixture
        .taking(&[dollars(&limit(BudgetScope::Overall, false), 2)])
        .await;
    assert!(fixture.field("budget:b", "since").await.is_some());
}

#[tokio::test]
async fn a_correction_replaces_the_one_before() {
    let fixture = Fixture::new().await;
    let limit = hard();
    let record = since(&limit, None, 5);
    let call = fixture.taking(&[dollars(&limit, 1)]).await;
    for (used, held) in [(3, 2), (3, 2), (4, 0)] {
        assert!(fixture.correct(&limit, &record, used, held).await);
        let reserved = i64::try_from(NANOS).unwrap();
        assert_eq!(fixture.sums("budget:b").await, (used, reserved + held));
    }
    fixture.end(&call, consumed(1, 10)).await;
    assert_eq!(fixture.sums("budget:b").await, (14, 0));
    assert!(fixture.correct(&limit, &record.exact(), 4, 0).await);
    assert_eq!(fixture.sums("budget:b").await, (14, 0));
    assert!(fixture.stored().await.unwrap().record.is_exact);
}

#[tokio::test]
async fn another_leader_s_record_stays() {
    let fixture = Fixture::new().await;
    let limit = hard();
    let (first, second) = (since(&limit, None, 5), since(&limit, None, 6));
    assert!(fixture.correct(&limit, &first, 3, 0).await);
    let read = fixture.stored().await;
    assert!(fixture.correct(&limit, &second, 4, 0).await);
    let windows = [(
        limit.nothing_of("", DateTime::UNIX_EPOCH),
        WindowCorrection { used: 9, held: 0 },
    )];
    let late = fixture
        .broker
        .limits()
        .correct_windows(&limit.name, read.as_ref(), &first.exact(), &windows)
        .await
        .unwrap();
    assert!(!late);
    assert_eq!(fixture.sums("budget:b").await, (4, 0));
    assert_eq!(fixture.stored().await.unwrap().record, second);
}

#[tokio::test]
async fn a_budget_that_counts_other_calls_waits_too() {
    let fixture = Fixture::new().await;
    let wide = hard();
    fixture.correct(&wide, &since(&wide, None, 5), 3, 0).await;
    fixture.taking(&[dollars(&wide, 1)]).await;
    fixture.lead().await;
    let platform = PlatformName::from_stored("a");
    let narrow = limit(BudgetScope::Provider(platform), true);
    let (_, begun) = fixture.try_to_take(&[dollars(&narrow, 1)]).await;
    assert_eq!(begun, Begun::Full);

    let record = fixture.stored().await.unwrap().record;
    let record = since(&narrow, Some(&record), 9);
    assert!(fixture.correct(&narrow, &record, 1, 0).await);
    fixture.taking(&[dollars(&narrow, 1)]).await;
    let (_, begun) = fixture.try_to_take(&[dollars(&wide, 1)]).await;
    assert_eq!(begun, Begun::Full, "a worker with the old configuration");
}

#[tokio::test]
async fn a_window_notes_since_when_it_counts_other_calls() {
    let fixture = Fixture::new().await;
    fixture.lead().await;
    let wide = limit(BudgetScope::Overall, false);
    fixture.correct(&wide, &since(&wide, None, 5), 3, 0).await;
    fixture.taking(&[dollars(&wide, 1)]).await;
    assert_eq!(fixture.field("budget:b", "since").await, None);

    let narrow = limit(BudgetScope::Provider(PlatformName::from_stored("a")), false);
    fixture.taking(&[dollars(&narrow, 1)]).await;
    let first = fixture.field("budget:b", "since").await;
    assert!(first.is_some());
    // A worker with the old configuration, and the new one again.
    fixture.taking(&[dollars(&wide, 1)]).await;
    fixture.taking(&[dollars(&narrow, 1)]).await;
    assert_eq!(fixture.field("budget:b", "since").await, first);
    // That time says nothing of a limit that counts something else.
    for (limit, is_current) in [(&narrow, true), (&wide, false)] {
        let limits = fixture.broker.limits();
        let open = limits.open_windows(limit, DateTime::UNIX_EPOCH).await;
        let open = open.unwrap().pop().unwrap();
        assert_eq!(open.current_since().is_some(), is_current);
        assert!(open.since.is_some());
    }
}

/// How many commands the server has run, inside scripts too.
async fn commands(fixture: &Fixture) -> u64 {
    let info: String = fixture.ask(&["INFO", "commandstats"]).await;
    let calls = info
        .lines()
        .filter(|line| !line.starts_with("cmdstat_info"));
    let calls = calls.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
    calls.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn an_open_window_costs_a_call_no_command_more() {
    let (redis, _dir) = redis().await;
    let fixture = Fixture::at(&redis.url()).await;
    let limit = hard();
    fixture.correct(&limit, &since(&limit, None, 5), 3, 0).await;
    let known = dollars(&limit, 0);
    let mut unknown = known.clone();
    if let MeterAmount::Window { definition, .. } = &mut unknown {
        *definition = None;
    }
    let mut spent = Vec::new();
    for amount in [&known, &known, &unknown] {
        let call = fixture.call().await;
        let before = commands(&fixture).await;
        let amounts = std::slice::from_ref(amount);
        let begun = fixture.begin_taking(&call, amounts, false).await;
        assert_eq!(begun, super::fixture::BEGUN);
        spent.push(commands(&fixture).await - before);
    }
    assert_eq!(spent.get(1), spent.get(2), "{spent:?}");
}
