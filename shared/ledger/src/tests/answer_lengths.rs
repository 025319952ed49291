//! The usual lengths of answers.

use longshore_protocol::{call::Usage, event::AttemptRecord};

use super::{
    facts::{attempt, time, version},
    postgres::Database,
    *,
};

fn call(n: u32, model: &str, outcome: AttemptOutcome, output: u64) -> AttemptRecord {
    let mut call = attempt(&format!("{model}-{n}"), n, outcome);
    call.model = model.to_owned();
    call.usage = Usage {
        output,
        ..Usage::default()
    };
    call
}

#[tokio::test]
async fn the_average_is_of_enough_new_completed_calls() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let many = |model, outcome, outputs: std::ops::Range<u64>| {
        let numbers = 20_u32..;
        numbers
            .zip(outputs)
            .map(move |(n, output)| call(n, model, outcome, output))
            .collect::<Vec<_>>()
    };
    let calls = [
        many("usual", AttemptOutcome::Completed, 101..111),
        many("usual", AttemptOutcome::Failed, 5_000..5_010),
        many("rare", AttemptOutcome::Completed, 50..59),
        // Before the time that is asked for.
        (1..12)
            .map(|n| call(n, "old", AttemptOutcome::Completed, 7))
            .collect(),
    ];
    let events: Vec<(EventId, Event)> = (1..)
        .map(version)
        .zip(calls.into_iter().flatten().map(|attempt| Event {
            attempt: Some(Box::new(attempt)),
            ..Event::default()
        }))
        .collect();
    ledger.record(&events).await.unwrap();
    let lengths = ledger.answer_lengths(time(20)).await.unwrap();
    let found: Vec<(&str, u64)> = lengths
        .iter()
        .map(|length| (length.model.as_str(), length.tokens))
        .collect();
    // The average of 101 to 110 is 105.5.
    assert_eq!(found, [("usual", 106)]);
}
