//! A reader leaves the new entries of a queue, and reads its released ones and those of other queues.

use std::time::Duration;

use longshore_broker::{Bumped, EntrySource, QueueReader};
use longshore_protocol::{envelope::RawMessage, id::QueueName};

use super::fixture::{Fixture, id, prompt};

/// The prompts of the next entries, sorted.
async fn read(reader: &mut QueueReader) -> Vec<String> {
    let wait = Duration::from_millis(1);
    let delivered = reader.read(10, wait, EntrySource::All).await.unwrap();
    let prompts = delivered.into_iter().map(|one| {
        let (_, text) = one.message.fields.first().unwrap().clone();
        String::from_utf8(text).unwrap()
    });
    let mut prompts: Vec<String> = prompts.collect();
    prompts.sort();
    prompts
}

#[tokio::test]
async fn new_entries_of_some_queues_stay() {
    let fixture = Fixture::new().await;
    let (left, other) = (fixture.queue.clone(), QueueName::parse("other").unwrap());
    for queues in [vec![left.clone()], vec![left.clone(), other.clone()]] {
        let queues_of_broker = fixture.broker.queues();
        let mut reader = queues_of_broker.reader(&queues, &id("a")).await.unwrap();
        reader.leave_new(vec![left.clone()]);
        let first = fixture.enqueue(&prompt("released")).await;
        fixture.enqueue(&prompt("new")).await;
        let bumped = queues_of_broker.bump(&first).await.unwrap();
        assert_eq!(bumped, Bumped::Yes);
        let mut expected = vec!["released"];
        if queues.contains(&other) {
            let fields = prompt("of another");
            let message = RawMessage { fields };
            queues_of_broker.enqueue(&other, &message).await.unwrap();
            expected.insert(0, "of another");
        }
        assert_eq!(read(&mut reader).await, expected);
        assert!(read(&mut reader).await.is_empty());
        assert!(reader.read_ahead(10).await.unwrap().is_empty());
        reader.leave_new(Vec::new());
        assert_eq!(read(&mut reader).await, ["new"]);
    }
}
