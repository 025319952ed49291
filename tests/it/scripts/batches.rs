//! Batches: tasks added in parts, each once; closed; ended.

use longshore_broker::{
    BatchPart, BatchPlan, BatchPut, BatchReport, BatchTask, ChainCancelled, ChainRetried,
    ChainStarted, StepOutcome,
};
use longshore_protocol::{chain::ChainState, id::JobId};

use super::{
    chains::{Plan, chain_id, step_of},
    fixture::{Fixture, past},
};

fn plan(fixture: &Fixture, id: &str, parallel: u32) -> BatchPlan {
    BatchPlan {
        id: chain_id(id),
        name: "tasks.jsonl".to_owned(),
        queue: fixture.queue.clone(),
        parallel,
        fail_fast: false,
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

async fn put(fixture: &Fixture, plan: &BatchPlan, at: u32, count: u32) -> BatchPut {
    fixture
        .broker
        .batches()
        .add_tasks(plan, &part(plan, at, count))
        .await
        .unwrap()
}

async fn close(fixture: &Fixture, plan: &BatchPlan, tasks: u64, digest: &str) -> bool {
    let closed = fixture.broker.batches().close(&plan.id, tasks, digest);
    closed.await.unwrap()
}

async fn read_report(fixture: &Fixture, plan: &BatchPlan) -> BatchReport {
    let report = fixture.broker.batches().get(&plan.id).await.unwrap();
    report.expect("a batch")
}

/// Settles everything in the queue and returns the instances.
async fn run(fixture: &Fixture, outcome: StepOutcome) -> Vec<String> {
    let mut ran = Vec::new();
    for one in fixture.read("w", 100).await {
        let _held = fixture.end_step(&one, outcome).await;
        ran.push(step_of(&one).instance().to_string());
    }
    ran
}

#[tokio::test]
async fn tasks_are_enqueued_as_slots_free_up_and_the_last_ends_the_batch() {
    let fixture = Fixture::new().await;
    let plan = plan(&fixture, "b", 2);
    assert_eq!(put(&fixture, &plan, 0, 2).await, BatchPut::Done);
    assert_eq!(put(&fixture, &plan, 2, 3).await, BatchPut::Done);
    let report = read_report(&fixture, &plan).await;
    assert_eq!(report.state, ChainState::Open);
    assert_eq!(
        (report.lines, report.waiting, report.sent(), report.done()),
        (5, 3, 2, 0)
    );
    assert_eq!(
        run(&fixture, StepOutcome::Completed).await,
        ["task/0", "task/1"]
    );
    assert!(close(&fixture, &plan, 5, "5").await);
    assert!(
        close(&fixture, &plan, 5, "5").await,
        "said again, it changes nothing"
    );
    assert_eq!(
        run(&fixture, StepOutcome::Failed).await,
        ["task/2", "task/3"]
    );
    assert_eq!(run(&fixture, StepOutcome::Completed).await, ["task/4"]);
    let report = read_report(&fixture, &plan).await;
    assert_eq!(
        (report.state, report.completed, report.failed),
        (ChainState::Failed, 3, 2)
    );
    assert!(report.ended.is_some());
    assert_eq!(
        fixture
            .broker
            .batches()
            .failed_tasks(&plan.id)
            .await
            .unwrap(),
        [2, 3]
    );
    for name in fixture.names().await {
        if name.starts_with("chain:") {
            let ttl: i64 = fixture.ask(&["TTL", &fixture.key(&name)]).await;
            assert!(ttl > 0, "{name} goes in time");
        }
    }
}

#[tokio::test]
async fn the_first_failure_ends_a_batch_with_fail_fast() {
    for is_closed in [true, false] {
        let fixture = Fixture::new().await;
        let plan = BatchPlan {
            fail_fast: true,
            ..plan(&fixture, "b", 2)
        };
        assert_eq!(put(&fixture, &plan, 0, 5).await, BatchPut::Done);
        if is_closed {
            assert!(close(&fixture, &plan, 5, "5").await);
        }
        let running = fixture.read("w", 100).await;
        assert_eq!(running.len(), 2);
        let _held = fixture.end_step(&running[0], StepOutcome::Failed).await;
        assert_eq!(
            read_report(&fixture, &plan).await.state,
            ChainState::Stopping
        );
        let second = plan.id.task(1);
        assert!(
            fixture
                .broker
                .jobs()
                .is_cancel_requested(&second)
                .await
                .unwrap()
        );
        if !is_closed {
            assert_eq!(put(&fixture, &plan, 5, 1).await, BatchPut::Closed);
        }
        let _held = fixture.end_step(&running[1], StepOutcome::Cancelled).await;
        let report = read_report(&fixture, &plan).await;
        assert_eq!(
            (
                report.state,
                report.failed,
                report.cancelled,
                report.waiting
            ),
            (ChainState::Failed, 1, 1, 3)
        );
        assert!(fixture.read("w", 100).await.is_empty(), "nothing follows");
    }
}

#[tokio::test]
async fn a_batch_whose_tasks_have_ended_ends_when_closed() {
    let fixture = Fixture::new().await;
    let plan = plan(&fixture, "b", 10);
    assert_eq!(put(&fixture, &plan, 0, 2).await, BatchPut::Done);
    assert_eq!(run(&fixture, StepOutcome::Completed).await.len(), 2);
    assert_eq!(fixture.chain_state(&plan.id).await, "open");
    assert!(close(&fixture, &plan, 2, "2").await);
    assert_eq!(fixture.chain_state(&plan.id).await, "completed");
    assert_eq!(put(&fixture, &plan, 2, 1).await, BatchPut::Closed);
}

#[tokio::test]
async fn tasks_are_added_once_and_in_order() {
    let fixture = Fixture::new().await;
    let plan = plan(&fixture, "b", 10);
    assert_eq!(put(&fixture, &plan, 0, 3).await, BatchPut::Done);
    assert_eq!(
        put(&fixture, &plan, 0, 3).await,
        BatchPut::Elsewhere,
        "again"
    );
    assert_eq!(
        put(&fixture, &plan, 4, 1).await,
        BatchPut::Elsewhere,
        "a gap"
    );
    let other = BatchPart {
        before: "other".to_owned(),
        ..part(&plan, 3, 1)
    };
    assert_eq!(
        fixture
            .broker
            .batches()
            .add_tasks(&plan, &other)
            .await
            .unwrap(),
        BatchPut::Elsewhere,
        "after others"
    );
    assert!(!close(&fixture, &plan, 2, "2").await);
    assert!(!close(&fixture, &plan, 3, "x").await);
    assert_eq!(put(&fixture, &plan, 3, 1).await, BatchPut::Done);
    assert_eq!(
        run(&fixture, StepOutcome::Completed).await,
        ["task/0", "task/1", "task/2", "task/3"]
    );
}

#[tokio::test]
async fn a_chain_id_is_rejected_as_a_batch_id() {
    let fixture = Fixture::new().await;
    let chain = Plan::new("taken").plain("a", &[]);
    assert_eq!(fixture.begin_chain(&chain).await, ChainStarted::Yes);
    let plan = plan(&fixture, "taken", 1);
    assert_eq!(put(&fixture, &plan, 0, 1).await, BatchPut::Chain);
}

#[tokio::test]
async fn a_stopped_batch_accepts_no_more_tasks() {
    let fixture = Fixture::new().await;
    let plan = plan(&fixture, "b", 1);
    assert_eq!(put(&fixture, &plan, 0, 3).await, BatchPut::Done);
    assert_eq!(
        fixture.broker.chains().cancel(&plan.id).await.unwrap(),
        ChainCancelled::Asked
    );
    assert_eq!(put(&fixture, &plan, 3, 1).await, BatchPut::Closed);
    assert_eq!(run(&fixture, StepOutcome::Cancelled).await, ["task/0"]);
    let report = read_report(&fixture, &plan).await;
    assert_eq!((report.state, report.sent()), (ChainState::Cancelled, 1));
}

#[tokio::test]
async fn running_tasks_are_listed_with_their_job_ids() {
    let fixture = Fixture::new().await;
    let plan = plan(&fixture, "b", 10);
    assert_eq!(put(&fixture, &plan, 0, 3).await, BatchPut::Done);
    let tasks = fixture
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
    let first = fixture.read_one("w").await;
    let _held = fixture.end_step(&first, StepOutcome::Failed).await;
    let () = fixture.ask(&["DEL", &fixture.key("result:b/task/0")]).await;
    let tasks = fixture
        .broker
        .batches()
        .tasks(&plan.id, &[0])
        .await
        .unwrap();
    assert!(!tasks[0].running && tasks[0].failed && tasks[0].outcome.is_none());
    assert_eq!(
        fixture
            .broker
            .batches()
            .get(&chain_id("other"))
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn many_failed_tasks_are_retried_in_pages() {
    const TASKS: u32 = 1_100;
    let fixture = Fixture::new().await;
    let plan = plan(&fixture, "b", TASKS);
    assert_eq!(put(&fixture, &plan, 0, TASKS).await, BatchPut::Done);
    assert!(close(&fixture, &plan, TASKS.into(), &TASKS.to_string()).await);
    for outcome in [StepOutcome::Failed, StepOutcome::Completed] {
        let mut ended = 0;
        while ended < TASKS as usize {
            ended += run(&fixture, outcome).await.len();
        }
        if outcome == StepOutcome::Failed {
            assert_eq!(fixture.chain_state(&plan.id).await, "failed");
            let again = fixture.broker.chains().retry(&plan.id, &[]).await.unwrap();
            assert_eq!(again, ChainRetried::Again(TASKS.into()));
        }
    }
    let report = read_report(&fixture, &plan).await;
    assert_eq!(
        (report.state, report.completed, report.failed),
        (ChainState::Completed, TASKS.into(), 0)
    );
}
