//! Costs.

use longshore_protocol::{event::AttemptRecord, id::QueueName};

use super::{
    facts::{attempt, version},
    postgres::Database,
    *,
};

fn attempt_events(attempts: Vec<AttemptRecord>) -> Vec<(EventId, Event)> {
    let event = |attempt| Event {
        attempt: Some(Box::new(attempt)),
        ..Event::default()
    };
    (1..)
        .map(version)
        .zip(attempts.into_iter().map(event))
        .collect()
}

fn costing(n: u32, job: &str, platform: &str, cost: &str) -> AttemptRecord {
    let mut attempt = attempt(job, n, AttemptOutcome::Completed);
    attempt.platform = platform.to_owned();
    attempt.model = format!("{platform}-1");
    attempt.cost_usd = Some(cost.parse().unwrap());
    attempt
}

fn line(name: &str, tasks: u64, attempts: u64, cost: &str, unknown: u64) -> CostLine {
    CostLine {
        name: name.to_owned(),
        tasks,
        attempts,
        cost_usd: cost.parse().unwrap(),
        unknown_cost_attempts: unknown,
    }
}

#[tokio::test]
async fn costs_are_listed_by_chain_and_queue() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let labelled = |n, job, cost, chain: Option<&str>, tenant: &str| {
        let mut attempt = costing(n, job, "openai", cost);
        if let Some(labels) = &mut attempt.labels {
            labels.chain_id = chain.map(str::to_owned);
            labels.tenant = Some(tenant.to_owned());
            labels.queue = QueueName::parse(tenant).unwrap();
        }
        attempt
    };
    let batch = attempt_events(vec![
        labelled(1, "a", "0.1", Some("report"), "acme"),
        labelled(2, "a", "0.2", Some("report"), "acme"),
        labelled(3, "b", "0.4", Some("report"), "other"),
        labelled(4, "c", "0.3", None, "other"),
    ]);
    ledger.record(&batch).await.unwrap();
    let all = CostFilter::default();
    assert_eq!(
        ledger.costs_by(CostLabel::Chain, &all, 10).await.unwrap(),
        [line("report", 2, 3, "0.7", 0), line("", 1, 1, "0.3", 0)]
    );
    assert_eq!(
        ledger.costs_by(CostLabel::Queue, &all, 1).await.unwrap(),
        [line("other", 2, 2, "0.7", 0)]
    );
    let of_acme = CostFilter {
        tenant: Some("acme".to_owned()),
        ..all
    };
    assert_eq!(
        ledger
            .costs_by(CostLabel::Queue, &of_acme, 10)
            .await
            .unwrap(),
        [line("acme", 1, 2, "0.3", 0)]
    );
}

#[tokio::test]
async fn sums_are_exact_and_unknown_costs_are_counted_separately() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut other_day = costing(5, "c", "groq", "7");
    other_day.started_at = at("2020-02-29T23:59:59.999999Z");
    let mut duplicate = costing(3, "a", "groq", "0.1");
    duplicate.duplicate = true;
    let batch = attempt_events(vec![
        costing(1, "a", "openai", "0.1"),
        costing(2, "b", "openai", "0.200000000000000000000001"),
        duplicate,
        attempt("b", 4, AttemptOutcome::Lost),
        other_day,
    ]);
    ledger.record(&batch).await.unwrap();

    let first = attempt("a", 1, AttemptOutcome::Completed).started_at;
    let day = ledger
        .costs(&CostFilter::day(first.date_naive()))
        .await
        .unwrap();
    let expected = CostSummary {
        total_cost: "0.400000000000000000000001".parse().unwrap(),
        total_tasks: 2,
        total_attempts: 4,
        lost_attempts: 1,
        unknown_cost_attempts: 1,
        reserved_unknown_usd: "0.25".parse().unwrap(),
        reported: None,
        by_platform: vec![
            line("openai", 2, 3, "0.300000000000000000000001", 1),
            line("groq", 1, 1, "0.1", 0),
        ],
        by_type: vec![line("research", 2, 4, "0.400000000000000000000001", 1)],
        by_model: vec![
            line("openai-1", 2, 2, "0.300000000000000000000001", 0),
            line("groq-1", 1, 1, "0.1", 0),
            line("small", 1, 1, "0", 1),
        ],
        ..CostSummary::default()
    };
    assert_eq!(day, expected);
    assert_eq!(
        ledger
            .costs(&CostFilter {
                since: Some(first),
                ..CostFilter::default()
            })
            .await
            .unwrap(),
        expected
    );
    let all = ledger.costs(&CostFilter::default()).await.unwrap();
    assert_eq!(all.total_cost.to_string(), "7.400000000000000000000001");
    assert_eq!(all.total_tasks, 3);
    let leap = ledger
        .costs(&CostFilter::day("2020-02-29".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(leap.total_cost.to_string(), "7");
    let next = ledger
        .costs(&CostFilter::day("2020-03-01".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(next, CostSummary::default());
}

#[tokio::test]
async fn reported_costs_are_compared_with_ours_per_attempt() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut more = costing(1, "a", "openrouter", "0.10");
    more.reported_cost_usd = Some("0.13".parse().unwrap());
    let mut less = costing(2, "b", "openrouter", "0.10");
    less.reported_cost_usd = Some("0.099999999".parse().unwrap());
    let mut unknown = attempt("c", 3, AttemptOutcome::Lost);
    unknown.reported_cost_usd = Some("0.5".parse().unwrap());
    let silent = costing(4, "d", "openai", "3");
    let batch = attempt_events(vec![more, less, unknown, silent]);
    ledger.record(&batch).await.unwrap();

    let reported = ledger.costs(&CostFilter::default()).await.unwrap().reported;
    let expected = ReportedCosts {
        attempts: 3,
        cost_usd: "0.729999999".parse().unwrap(),
        difference_usd: "0.029999999".parse().unwrap(),
    };
    assert_eq!(
        reported,
        Some(expected),
        "an attempt with an unknown cost has no difference"
    );
}

#[tokio::test]
async fn a_chain_sums_up_its_jobs() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut elsewhere = costing(4, "c", "groq", "5");
    elsewhere.labels.as_mut().unwrap().chain_id = None;
    let batch = attempt_events(vec![
        costing(1, "b", "openai", "0.01"),
        costing(2, "a", "openai", "0.02"),
        costing(3, "b", "groq", "0.003"),
        elsewhere,
    ]);
    ledger.record(&batch).await.unwrap();
    let chain = ledger.chain_costs("ch").await.unwrap();
    assert_eq!(
        (chain.total_cost.to_string().as_str(), chain.total_tasks),
        ("0.033", 2)
    );
    let jobs: Vec<_> = chain
        .jobs
        .iter()
        .map(|job| {
            (
                job.job_id.as_str(),
                job.platform.as_str(),
                job.cost_usd.to_string(),
            )
        })
        .collect();
    assert_eq!(
        jobs,
        [
            ("b", "groq", "0.013".to_owned()),
            ("a", "openai", "0.02".to_owned())
        ]
    );
    assert_eq!(
        ledger.chain_costs("none").await.unwrap(),
        ChainCosts::default()
    );
}

#[tokio::test]
async fn every_attempt_has_its_cost() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let lost = attempt("a", 2, AttemptOutcome::Lost);
    ledger
        .record(&attempt_events(vec![
            lost.clone(),
            costing(1, "a", "groq", "0.5"),
        ]))
        .await
        .unwrap();
    let costs = ledger.attempt_costs().await.unwrap();
    assert_eq!(costs.len(), 2);
    let last = costs.last().unwrap();
    assert_eq!((last.attempt_id, last.cost_usd), (lost.attempt_id, None));
    assert_eq!(
        (last.usage, last.reserved_usd),
        (lost.usage, lost.reserved_usd)
    );
}
