//! Batches: tasks added in parts, each once; closed; ended.

use longshore_broker::{
    BatchPart, BatchPlan, BatchPut, BatchTask, ChainCancelled, ChainStarted, StepOutcome,
};
use longshore_protocol::{chain::ChainState, id::JobId};

use super::{
    chains::{Plan, chain_id, step_of},
    room::{Room, past},
};

fn plan(room: &Room, id: &str, parallel: u32) -> BatchPlan {
    BatchPlan {
        id: chain_id(id),
        name: "tasks.jsonl".to_owned(),
        queue: room.queue.clone(),
        parallel,
    }
}

/// `count` tasks after the first `at`; the digest of tasks is their number.
fn part(plan: &BatchPlan, at: u32, count: u32) -> BatchPart {
    let digest = |tasks: u32| {
        if tasks == 0 {
            String::new()
        } else {
            tasks.to_string()
        }
    };
    let task = |index| {
        // Every third has an id of its own.
        let own = (index % 3 == 2).then(|| JobId::parse(&format!("own-{index}")).unwrap());
        let identified = own.is_some();
        let message = format!(r#"{{"prompt":"{index}"}}"#);
        BatchTask::new(&plan.id, index, own, identified, message, past(0))
    };
    BatchPart {
        at: at.into(),
        before: digest(at),
        after: digest(at + count),
        tasks: (at..at + count).map(task).collect(),
    }
}

async fn put(room: &Room, plan: &BatchPlan, at: u32, count: u32) -> BatchPut {
    room.broker
        .batches()
        .add_tasks(plan, &part(plan, at, count))
        .await
        .unwrap()
}

/// Settles everything in the queue and returns the instances.
async fn run(room: &Room, outcome: StepOutcome) -> Vec<String> {
    let mut ran = Vec::new();
    for one in room.read("w", 100).await {
        let _held = room.end_step(&one, outcome).await;
        ran.push(step_of(&one).instance().to_string());
    }
    ran
}

#[tokio::test]
async fn tasks_are_enqueued_as_slots_free_up_and_the_last_ends_the_batch() {
    let room = Room::new().await;
    let plan = plan(&room, "b", 2);
    assert_eq!(put(&room, &plan, 0, 2).await, BatchPut::Done);
    assert_eq!(put(&room, &plan, 2, 3).await, BatchPut::Done);
    let report = room.broker.batches().get(&plan.id).await.unwrap().unwrap();
    assert_eq!(report.state, ChainState::Open);
    assert_eq!(
        (report.lines, report.waiting, report.sent(), report.done()),
        (5, 3, 2, 0)
    );
    assert_eq!(
        run(&room, StepOutcome::Completed).await,
        ["task/0", "task/1"]
    );
    assert!(room.broker.batches().close(&plan.id, 5, "5").await.unwrap());
    assert!(
        room.broker.batches().close(&plan.id, 5, "5").await.unwrap(),
        "said again, it changes nothing"
    );
    assert_eq!(run(&room, StepOutcome::Failed).await, ["task/2", "task/3"]);
    assert_eq!(run(&room, StepOutcome::Completed).await, ["task/4"]);
    let report = room.broker.batches().get(&plan.id).await.unwrap().unwrap();
    assert_eq!(
        (report.state, report.completed, report.failed),
        (ChainState::Failed, 3, 2)
    );
    assert!(report.ended.is_some());
    assert_eq!(
        room.broker.batches().failed_tasks(&plan.id).await.unwrap(),
        [2, 3]
    );
    for name in room.names().await {
        if name.starts_with("chain:") {
            let ttl: i64 = room.ask(&["TTL", &room.key(&name)]).await;
            assert!(ttl > 0, "{name} goes in time");
        }
    }
}

#[tokio::test]
async fn a_batch_whose_tasks_have_ended_ends_when_closed() {
    let room = Room::new().await;
    let plan = plan(&room, "b", 10);
    assert_eq!(put(&room, &plan, 0, 2).await, BatchPut::Done);
    assert_eq!(run(&room, StepOutcome::Completed).await.len(), 2);
    assert_eq!(room.chain_state(&plan.id).await, "open");
    assert!(room.broker.batches().close(&plan.id, 2, "2").await.unwrap());
    assert_eq!(room.chain_state(&plan.id).await, "completed");
    assert_eq!(put(&room, &plan, 2, 1).await, BatchPut::Closed);
}

#[tokio::test]
async fn tasks_are_added_once_and_in_order() {
    let room = Room::new().await;
    let plan = plan(&room, "b", 10);
    assert_eq!(put(&room, &plan, 0, 3).await, BatchPut::Done);
    assert_eq!(put(&room, &plan, 0, 3).await, BatchPut::Elsewhere, "again");
    assert_eq!(put(&room, &plan, 4, 1).await, BatchPut::Elsewhere, "a gap");
    let other = BatchPart {
        before: "other".to_owned(),
        ..part(&plan, 3, 1)
    };
    assert_eq!(
        room.broker
            .batches()
            .add_tasks(&plan, &other)
            .await
            .unwrap(),
        BatchPut::Elsewhere,
        "after others"
    );
    assert!(!room.broker.batches().close(&plan.id, 2, "2").await.unwrap());
    assert!(!room.broker.batches().close(&plan.id, 3, "x").await.unwrap());
    assert_eq!(put(&room, &plan, 3, 1).await, BatchPut::Done);
    assert_eq!(
        run(&room, StepOutcome::Completed).await,
        ["task/0", "task/1", "task/2", "task/3"]
    );
}

#[tokio::test]
async fn a_chain_id_is_rejected_as_a_batch_id() {
    let room = Room::new().await;
    let chain = Plan::new("taken").plain("a", &[]);
    assert_eq!(room.begin_chain(&chain).await, ChainStarted::Yes);
    let plan = plan(&room, "taken", 1);
    assert_eq!(put(&room, &plan, 0, 1).await, BatchPut::Chain);
}

#[tokio::test]
async fn a_stopped_batch_accepts_no_more_tasks() {
    let room = Room::new().await;
    let plan = plan(&room, "b", 1);
    assert_eq!(put(&room, &plan, 0, 3).await, BatchPut::Done);
    assert_eq!(
        room.broker.chains().cancel(&plan.id).await.unwrap(),
        ChainCancelled::Asked
    );
    assert_eq!(put(&room, &plan, 3, 1).await, BatchPut::Closed);
    assert_eq!(run(&room, StepOutcome::Cancelled).await, ["task/0"]);
    let report = room.broker.batches().get(&plan.id).await.unwrap().unwrap();
    assert_eq!((report.state, report.sent()), (ChainState::Cancelled, 1));
}

#[tokio::test]
async fn running_tasks_are_listed_with_their_job_ids() {
    let room = Room::new().await;
    let plan = plan(&room, "b", 10);
    assert_eq!(put(&room, &plan, 0, 3).await, BatchPut::Done);
    let tasks = room
        .broker
        .batches()
        .tasks(&plan.id, &[0, 2])
        .await
        .unwrap();
    let told: Vec<_> = tasks
        .iter()
        .map(|task| (task.job.as_str(), task.own, task.running, task.failed))
        .collect();
    assert_eq!(
        told,
        [
            ("b/task/0", false, true, false),
            ("own-2", true, true, false)
        ]
    );
    let first = room.read_one("w").await;
    let _held = room.end_step(&first, StepOutcome::Failed).await;
    let () = room.ask(&["DEL", &room.key("result:b/task/0")]).await;
    let tasks = room.broker.batches().tasks(&plan.id, &[0]).await.unwrap();
    assert!(!tasks[0].running && tasks[0].failed && tasks[0].outcome.is_none());
    assert_eq!(
        room.broker.batches().get(&chain_id("other")).await.unwrap(),
        None
    );
}
