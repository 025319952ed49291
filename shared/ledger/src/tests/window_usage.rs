//! What calls used of the windows of limits.

use longshore_protocol::event::AttemptRecord;

use super::{
    facts::{attempt, time, version},
    postgres::Database,
    *,
};

/// The call that began at second `n`.
fn call(n: u32, platform: &str, tenant: &str, cost: Option<&str>) -> AttemptRecord {
    let mut call = attempt(&format!("j{n}"), n, AttemptOutcome::Completed);
    call.platform = platform.to_owned();
    call.cost_usd = cost.map(|cost| cost.parse().unwrap());
    call.reserved_usd = "3".parse().unwrap();
    if let Some(labels) = &mut call.labels {
        labels.tenant = Some(tenant.to_owned());
        labels.chain_id = Some(format!("of-{tenant}"));
    }
    call
}

fn all(from: u64, to: u64) -> WindowCalls {
    WindowCalls {
        from: time(from),
        to: time(to),
        platforms: None,
        tenant: None,
        chain: None,
        by: UsageBy::Total,
        ends: Vec::new(),
        except: Vec::new(),
    }
}

#[tokio::test]
async fn usage_is_summed_as_limits_count_it() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut refused = attempt("r", 6, AttemptOutcome::Failed);
    refused.cost_usd = Some("0".parse().unwrap());
    let calls = [
        call(1, "a", "x", Some("0.0000000011")),
        call(2, "b", "x", Some("1")),
        call(3, "a", "y", None),
        call(4, "a", "x", Some("2")),
        refused,
    ];
    let except = calls[3].attempt_id;
    let events: Vec<(EventId, Event)> = (1..)
        .map(version)
        .zip(calls.map(|attempt| Event {
            attempt: Some(Box::new(attempt)),
            ..Event::default()
        }))
        .collect();
    assert!(!ledger.has_attempts().await.unwrap());
    ledger.record(&events).await.unwrap();
    assert!(ledger.has_attempts().await.unwrap());

    let sums = async |calls: WindowCalls| -> Vec<(String, u64, u64)> {
        let sums = ledger.window_usage(&calls, 10).await.unwrap();
        sums.into_iter()
            .map(|sum| (sum.owner, sum.requests, sum.nano_usd))
            .collect()
    };
    let total = |requests, nanos| vec![(String::new(), requests, nanos)];
    // Each cost is rounded up to nano-dollars; an unknown one counts as it was reserved; a provider does not count what
    // it refuses for a limit.
    assert_eq!(sums(all(0, 9)).await, total(4, 6_000_000_002));
    assert_eq!(sums(all(2, 4)).await, total(2, 4_000_000_000));
    let of_a = WindowCalls {
        platforms: Some(vec!["a".to_owned()]),
        ..all(0, 9)
    };
    assert_eq!(sums(of_a).await, total(3, 5_000_000_002));
    let without_one = WindowCalls {
        except: vec![except],
        ..all(0, 9)
    };
    assert_eq!(sums(without_one).await, total(3, 4_000_000_002));
    let of_y = WindowCalls {
        tenant: Some("y".to_owned()),
        ..all(0, 5)
    };
    assert_eq!(sums(of_y).await, total(1, 3_000_000_000));
    let by_tenant = WindowCalls {
        by: UsageBy::Tenant,
        ends: vec![("x".to_owned(), time(4)), ("y".to_owned(), time(20))],
        ..all(0, 5)
    };
    let sum = |owner: &str, requests, nanos| (owner.to_owned(), requests, nanos);
    assert_eq!(
        sums(by_tenant).await,
        [sum("y", 1, 3_000_000_000), sum("x", 2, 1_000_000_002)],
        "x counts itself from second 4 on"
    );
    let by_chain = |since| WindowCalls {
        by: UsageBy::Chain { since },
        ..all(0, 5)
    };
    assert_eq!(
        sums(by_chain(time(4))).await,
        [sum("of-x", 3, 3_000_000_002)],
        "the other chain rests"
    );
}
