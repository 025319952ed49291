//! Invalid data, and an unreachable Postgres.

use std::time::Instant;

use super::{
    facts::{attempt, event, job, version},
    postgres::Database,
    *,
};

fn ledger_at(url: &str) -> Result<Ledger, LedgerError> {
    Ledger::connect(&SecretString::from(url.to_owned()), 2)
}

#[tokio::test]
async fn nul_characters_are_removed() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut whole = event(job("a", 1, JobState::Completed));
    let record = whole.job.as_mut().unwrap();
    record.output = Some("bl\0ue".to_owned());
    record.labels.tenant = Some("\0acme".to_owned());
    record
        .metadata
        .as_mut()
        .unwrap()
        .insert("k\0".to_owned(), "\0v".into());
    let mut call = attempt("a", 1, AttemptOutcome::Failed);
    call.error = Some("no\0".to_owned());
    call.decision.as_mut().unwrap().steps[0].outcome = "\0openai".to_owned();
    whole.attempt = Some(Box::new(call));
    ledger.record(&[(version(1), whole)]).await.unwrap();

    let of_acme = JobFilter {
        tenant: Some("acme".into()),
        ..JobFilter::default()
    };
    let row = ledger.jobs(&of_acme).await.unwrap().remove(0).job;
    assert_eq!(row.output.as_deref(), Some("blue"));
    assert_eq!(row.metadata.unwrap().get("k"), Some(&"v".into()));
    let attempts = ledger.attempts(&id("a")).await.unwrap();
    let read = attempts.first().unwrap();
    assert_eq!(read.error.as_deref(), Some("no"));
    assert_eq!(
        read.decision.as_ref().unwrap().steps[0].outcome.as_str(),
        "openai"
    );
}

#[tokio::test]
async fn the_largest_values_are_accepted() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let random: String = (0..40_000_u32)
        .map(|n| char::from_u32(0x4e00 + n * 7919 % 20_000).unwrap())
        .collect();
    let mut whole = event(job("a", 1, JobState::Completed));
    let record = whole.job.as_mut().unwrap();
    record.labels.chain_id = Some(random.clone());
    record.labels.tenant = Some(random.clone());
    record.enqueued_at = DateTime::<Utc>::MAX_UTC;
    record.due_at = Some(DateTime::<Utc>::MIN_UTC);
    record.attempts = u32::MAX;
    record.output = Some("x".repeat(9 << 20));
    let mut call = attempt("a", 1, AttemptOutcome::Completed);
    call.labels.as_mut().unwrap().chain_id = Some(random.clone());
    call.usage.input = u64::MAX;
    call.status = Some(u16::MAX);
    call.cost_usd = Some(longshore_protocol::money::Usd(rust_decimal::Decimal::MAX));
    whole.attempt = Some(Box::new(call));
    let next = event(job("b", 2, JobState::Completed));
    ledger
        .record(&[(version(1), whole), (version(2), next)])
        .await
        .unwrap();
    let of_chain = JobFilter {
        chain_id: Some(random.clone()),
        ..JobFilter::default()
    };
    assert_eq!(ledger.jobs(&of_chain).await.unwrap().len(), 1);
    let costs = ledger.chain_costs(&random).await.unwrap();
    assert_eq!(costs.total_cost.0, rust_decimal::Decimal::MAX);
    assert_eq!(ledger.jobs(&JobFilter::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_error_of_an_unreachable_ledger_has_the_address_without_the_password() {
    let ledger = ledger_at("postgres://ann:s3cret@127.0.0.1:1/books").unwrap();
    let begun = Instant::now();
    for error in [
        ledger.ping().await.unwrap_err(),
        ledger.migrate().await.unwrap_err(),
        ledger.record(&[]).await.unwrap_err(),
    ] {
        let text = format!("{error} {error:?} {ledger:?}");
        assert!(error.to_string().contains("127.0.0.1:1/books"), "{text}");
        assert!(error.to_string().contains("refused"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
        assert!(error.is_transient() && !error.is_bad_data(), "{text}");
    }
    assert!(begun.elapsed().as_secs() < 30);
}

#[tokio::test]
async fn an_address_that_refuses_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("postgres:///books?host={}", folder.path().display());
    for url in ["postgres://ann@127.0.0.1:1/books", &socket] {
        let ledger = ledger_at(url).unwrap();
        let begun = Instant::now();
        let error = ledger.ping().await.unwrap_err();
        // The pool alone would take 5 s.
        assert!(begun.elapsed().as_secs() < 2, "{error}");
        assert!(error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn an_invalid_url_is_not_repeated() {
    for url in [
        "postgres://ann:12/s3cret@host/books",
        "postgres://ann:12?s3cret@host/books",
        "postgres://ann:12#s3cret@host/books",
        "mysql://ann:s3cret@host/books",
        "postgres://ann:s3cret@host:99999/books",
        "postgres://ann:s3cret@host/books?sslmode=maybe",
        "s3cret",
    ] {
        let error = ledger_at(url).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
        assert!(!error.is_transient() && !error.is_bad_data());
    }
}

#[tokio::test]
async fn a_missing_table_is_not_the_fault_of_the_batch() {
    let database = Database::empty().await;
    let batch = [(version(1), event(job("a", 1, JobState::Running)))];
    let error = database.ledger.record(&batch).await.unwrap_err();
    assert!(!error.is_transient() && !error.is_bad_data(), "{error}");
}

#[tokio::test]
async fn rejected_data_is_distinguished_from_other_errors() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let refuse = "ALTER TABLE jobs ADD CHECK (job_id <> 'bad')";
    sqlx::query(refuse).execute(&ledger.pool).await.unwrap();
    let batch = [
        (version(1), event(job("good", 1, JobState::Running))),
        (version(2), event(job("bad", 1, JobState::Running))),
    ];
    let error = ledger.record(&batch).await.unwrap_err();
    assert!(error.is_bad_data() && !error.is_transient(), "{error}");
    assert_eq!(
        ledger.job(&id("good")).await.unwrap(),
        None,
        "all of a batch or nothing"
    );
    let end = "SELECT pg_terminate_backend(pg_backend_pid())";
    let error = ledger.failed(sqlx::query(end).execute(&ledger.pool).await.unwrap_err());
    assert!(error.is_transient(), "{error}");
    ledger.record(&batch[..1]).await.unwrap();
}
