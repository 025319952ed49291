//! Reported usage of limits.

use std::path::Path;

use chrono::{DateTime, Utc};
use longshore_broker::{
    Consumed, Ending, Fence, MeterAmounts, MeterReport, MeterUsage, Reservation,
    ReservationCandidate, Reserved,
};
use longshore_config::Config;
use longshore_policy::limits::{CallBound, Meters};
use longshore_protocol::{clock::local_time, id::AttemptId, money::Usd};
use longshore_settings::Environment;

use super::fixture::{Fixture, checkpoint_of, ending};

const FILE: &str = r#"
providers:
  openai:
    api_key: simulated
    limits:
      requests_per_minute: 600
      requests_per_day: 10
      usd_per_month: "1"
      max_concurrent: 50
budgets:
  - { name: team, scope: tenant, limit_usd: "1", per: month }
"#;

fn config() -> Config {
    let path = Path::new("longshore.yaml");
    Config::from_yaml(&Environment::default(), path, FILE).unwrap()
}

/// Reserves for a job that calls openai and may cost this much.
async fn call(
    fixture: &Fixture,
    tenant: &str,
    most: &str,
    now: DateTime<Utc>,
) -> (Reserved, Option<Ended>) {
    let config = config();
    let meters = Meters::new(&config.catalog, &config.budgets, &config.queue_limits);
    let costs = CallBound {
        tokens: 100,
        upper_bound: most.parse().unwrap(),
    };
    let provider = config.catalog.platform("openai").unwrap();
    let amounts = meters.amounts(provider, Some(tenant), None, &costs, now);
    let (held, job) = fixture.job("a").await;
    let attempt = AttemptId::new();
    let remembered = checkpoint_of(&job, 0);
    let reservation = Reservation {
        job: &job,
        attempt,
        concurrency: None,
        checkpoint_for_key: Some(&remembered),
        checkpoint_for_limit: Some(&remembered),
        waited: false,
        candidates: &[ReservationCandidate {
            event_if_lost: None,
            amounts: MeterAmounts::new(&amounts),
            spare: false,
        }],
    };
    let reserved = fixture
        .broker
        .deliveries()
        .reserve(&held, &reservation)
        .await
        .unwrap();
    let began = matches!(reserved, Reserved::Yes(..));
    let ended = began.then_some(Ended { held, job, attempt });
    (reserved, ended)
}

/// A call in flight.
struct Ended {
    held: longshore_broker::Delivery,
    job: longshore_protocol::id::JobId,
    attempt: AttemptId,
}

impl Ended {
    async fn cost(self, fixture: &Fixture, cost: &str) {
        let ending = Ending {
            consumed: Consumed::Known {
                tokens: 100,
                requests: 1,
                nanos: cost.parse::<Usd>().unwrap().nanos_up(),
                answered: true,
            },
            ..ending(self.attempt)
        };
        let settled = fixture
            .broker
            .deliveries()
            .settle(&self.held, &self.job, &ending)
            .await;
        assert_eq!(settled.unwrap(), Fence::Held);
    }
}

async fn reports(fixture: &Fixture, now: DateTime<Utc>) -> Vec<MeterReport> {
    let meters = {
        let config = config();
        Meters::new(&config.catalog, &config.budgets, &config.queue_limits)
    };
    fixture
        .broker
        .limits()
        .all_meters(&meters, now)
        .await
        .unwrap()
}

/// The used, reserved and awaited amounts of a window.
fn window(reports: &[MeterReport], meter: &str) -> Option<(u64, u64, u64)> {
    let report = reports.iter().find(|one| one.meter == meter)?;
    match &report.fill {
        MeterUsage::Window(fill) => Some((fill.used, fill.held, report.waiting)),
        MeterUsage::Rate { .. } | MeterUsage::Slots { .. } => None,
    }
}

#[tokio::test]
async fn an_unused_limit_has_no_usage() {
    let fixture = Fixture::new().await;
    let reports = reports(&fixture, local_time()).await;
    assert_eq!(window(&reports, "rpd:openai"), Some((0, 0, 0)));
    assert_eq!(reports.len(), 4, "no budget of a tenant: {reports:?}");
    let key = fixture.key("quota:rpd:openai");
    assert_eq!(
        fixture.ask::<u64>(&["EXISTS", &key]).await,
        0,
        "nothing is written"
    );
}

#[tokio::test]
async fn usage_reservations_and_parked_jobs_are_reported() {
    let fixture = Fixture::new().await;
    let now = local_time();
    let (_, first) = call(&fixture, "acme:eu", "0.4", now).await;
    let (_, second) = call(&fixture, "globex", "0.4", now).await;
    let (waits, _) = call(&fixture, "acme:eu", "0.3", now).await;
    assert!(
        matches!(&waits, Reserved::Waits { meter, .. } if meter == "usd:openai"),
        "{waits:?}"
    );
    first.unwrap().cost(&fixture, "0.1").await;

    let told = reports(&fixture, now).await;
    assert_eq!(window(&told, "rpd:openai"), Some((1, 1, 0)));
    let tenths = |tenths: u64| tenths * 100_000_000;
    assert_eq!(window(&told, "usd:openai"), Some((tenths(1), tenths(4), 1)));
    assert_eq!(
        window(&told, "budget:team:acme:eu"),
        Some((tenths(1), 0, 0)),
        "each tenant's by itself"
    );
    assert_eq!(window(&told, "budget:team:globex"), Some((0, tenths(4), 0)));
    let of = |meter: &str| {
        let report = told.iter().find(|one| one.meter == meter);
        report.map(|one| one.fill.clone()).unwrap()
    };
    assert_eq!(
        of("slots:openai"),
        MeterUsage::Slots {
            limit: 50,
            // Half of the 8 requests left of the day.
            cap: 4,
            in_use: 1
        }
    );
    assert!(matches!(
        of("rpm:openai"),
        MeterUsage::Rate {
            per_minute: 600,
            free: 5..=7
        }
    ));
    second.unwrap().cost(&fixture, "0.4").await;

    // In the next month nothing is used, and tenants' budgets are not reported.
    let later = now + chrono::TimeDelta::days(32);
    let told = reports(&fixture, later).await;
    assert_eq!(window(&told, "rpd:openai"), Some((0, 0, 0)));
    assert_eq!(window(&told, "usd:openai"), Some((0, 0, 1)));
    assert!(
        told.iter().all(|one| !one.meter.starts_with("budget:")),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_expired_window_counts_nothing() {
    let fixture = Fixture::new().await;
    let now = local_time();
    let (_, call) = call(&fixture, "acme", "0.4", now).await;
    call.unwrap().cost(&fixture, "0.4").await;
    assert_eq!(
        window(&reports(&fixture, now).await, "rpd:openai"),
        Some((1, 0, 0))
    );
    let key = fixture.key("quota:rpd:openai");
    let _: u64 = fixture.ask(&["HSET", &key, "end", "1000"]).await;
    assert_eq!(
        window(&reports(&fixture, now).await, "rpd:openai"),
        Some((0, 0, 0))
    );
}
