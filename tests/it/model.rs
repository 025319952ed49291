//! Random steps of three workers that die, stop and return, compared with a plain model: every job is in
//! exactly one location, ends once, and leaves nothing behind.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong in the model is the test's failure"
)]

mod actions;
mod actual;
mod expected;
mod limits;
mod world;

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{FileFailurePersistence, TestRunner},
};
use tokio::runtime::Runtime;

use self::world::World;

/// The number of workers.
const WORKERS: usize = 3;

/// The slots of each concurrency key.
const LIMITS: [u32; 2] = [1, 2];

/// One step of a random run.
#[derive(Debug, Clone)]
enum Step {
    /// Enqueues a job, with or without a concurrency key.
    Enqueue(Option<usize>),
    /// A worker reads up to this many entries.
    Read(usize, usize),
    /// A worker that believes it runs a job acts on it, perhaps twice, as after a lost reply.
    Act(Index, Act, bool),
    /// A worker is taken for dead and its entries are recovered; it does not notice.
    Kill(usize),
    /// The scheduler promotes up to this many jobs.
    Promote(usize),
    /// Cancels a job.
    Cancel(Index),
    /// Replays a job, whether or not it is a dead letter.
    Replay(Index),
}

/// An action of a worker on a job.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Begins an attempt.
    Begin,
    /// Records a failed attempt that another will follow.
    Fail,
    /// Completes the job.
    Complete,
    /// Makes the job a dead letter.
    Discard,
    /// Parks it, due at once and in this order.
    ParkDue(i64),
    /// Parks it for an hour.
    ParkLater,
    /// Parks it for a newer worker.
    ParkVersion(i64),
    /// Hands it back.
    HandBack,
}

fn step() -> impl Strategy<Value = Step> {
    let act = prop_oneof![
        6 => Just(Act::Begin),
        2 => Just(Act::Fail),
        3 => Just(Act::Complete),
        2 => Just(Act::Discard),
        2 => (0..100_i64).prop_map(Act::ParkDue),
        1 => Just(Act::ParkLater),
        1 => (0..100_i64).prop_map(Act::ParkVersion),
        2 => Just(Act::HandBack),
    ];
    let key = prop_oneof![Just(None), Just(Some(0)), Just(Some(1))];
    prop_oneof![
        4 => key.prop_map(Step::Enqueue),
        5 => (0..WORKERS, 1..4_usize).prop_map(|(worker, count)| Step::Read(worker, count)),
        14 => (any::<Index>(), act, any::<bool>()).prop_map(|(who, act, twice)| Step::Act(who, act, twice)),
        2 => (0..WORKERS).prop_map(Step::Kill),
        2 => (1..4_usize).prop_map(Step::Promote),
        1 => any::<Index>().prop_map(Step::Cancel),
        1 => any::<Index>().prop_map(Step::Replay),
    ]
}

#[test]
fn every_job_is_in_one_location_ends_once_and_leaves_nothing() {
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/proptest-regressions/model.txt"
        )))),
        ..ProptestConfig::default()
    };
    let runtime = Runtime::new().unwrap();
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..60), |steps| {
            runtime.block_on(live(&steps));
            Ok(())
        })
        .unwrap();
}

async fn live(steps: &[Step]) {
    let mut world = World::new().await;
    for step in steps {
        match step {
            Step::Enqueue(key) => world.enqueue(*key).await,
            Step::Read(worker, count) => world.read(*worker, *count).await,
            Step::Act(who, act, twice) => world.act(who, *act, *twice).await,
            Step::Kill(worker) => world.kill(*worker).await,
            Step::Promote(count) => world.promote(*count).await,
            Step::Cancel(job) => world.cancel(job).await,
            Step::Replay(job) => world.replay(job).await,
        }
        world.check().await;
    }
    world.finish().await;
}
