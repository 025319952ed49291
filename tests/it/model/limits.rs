//! Random calls that reserve of limits, by three workers that die, stop and return: reservations equal the
//! journal, usage equals spending, no limit is overrun, and no reservation is left.

mod actions;
mod books;
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

/// The most that a call reserves of a window.
const MOST: u64 = 8;

/// One step of a random run.
#[derive(Debug, Clone)]
enum Step {
    /// Enqueues a job.
    Enqueue,
    /// A worker reads up to this many entries.
    Read(usize, usize),
    /// A worker that believes it has a job acts on it, perhaps twice, as after a lost reply.
    Act(Index, Act, bool),
    /// A worker is taken for dead and its entries are recovered; it does not notice.
    Kill(usize),
    /// The same, and the worker gets its jobs again, which it then has twice.
    Again(usize),
    /// Time passes, and the scheduler releases up to this many jobs.
    Released(usize),
    /// A provider rate-limits an account.
    Limited(usize),
    /// The next day begins.
    NextWindow,
}

/// An action of a worker on a job.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Begins an attempt with the first candidate.
    Begin(Call),
    /// Reserves a candidate with fixture, or parks the job.
    Reserve(Call, Call),
    /// Ends an attempt, or a delivery without one.
    End(End, Came),
}

/// A call: its account, the most that it reserves, and whether it is late from the day before.
#[derive(Debug, Clone, Copy)]
struct Call {
    account: usize,
    amount: u64,
    late: bool,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Settle,
    Fail,
    HandBack,
    Park,
}

/// The usage of an attempt.
#[derive(Debug, Clone, Copy)]
enum Came {
    /// This much, or all that it reserved.
    To(u64),
    /// Unknown.
    Unknown,
}

fn call() -> impl Strategy<Value = Call> {
    (0..2_usize, 1..=MOST, prop::bool::weighted(0.1)).prop_map(|(account, amount, late)| Call {
        account,
        amount,
        late,
    })
}

fn act() -> impl Strategy<Value = Act> {
    let end = prop_oneof![
        4 => Just(End::Settle),
        2 => Just(End::Fail),
        1 => Just(End::HandBack),
        1 => Just(End::Park),
    ];
    let came = prop_oneof![4 => (0..=MOST).prop_map(Came::To), 1 => Just(Came::Unknown)];
    prop_oneof![
        4 => call().prop_map(Act::Begin),
        4 => (call(), call()).prop_map(|(one, other)| Act::Reserve(one, other)),
        6 => (end, came).prop_map(|(end, came)| Act::End(end, came)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Enqueue),
        5 => (0..WORKERS, 1..4_usize).prop_map(|(worker, count)| Step::Read(worker, count)),
        16 => (any::<Index>(), act(), any::<bool>())
            .prop_map(|(who, act, twice)| Step::Act(who, act, twice)),
        2 => (0..WORKERS).prop_map(Step::Kill),
        2 => (0..WORKERS).prop_map(Step::Again),
        3 => (1..4_usize).prop_map(Step::Released),
        1 => (0..2_usize).prop_map(Step::Limited),
        1 => Just(Step::NextWindow),
    ]
}

#[test]
fn limits_hold_and_every_reservation_is_returned() {
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/proptest-regressions/limits.txt"
        )))),
        ..ProptestConfig::default()
    };
    let runtime = Runtime::new().unwrap();
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..80), |steps| {
            runtime.block_on(live(&steps));
            Ok(())
        })
        .unwrap();
}

async fn live(steps: &[Step]) {
    let mut world = World::new().await;
    for step in steps {
        match step {
            Step::Enqueue => world.enqueue().await,
            Step::Read(worker, count) => world.read(*worker, *count).await,
            Step::Act(who, act, twice) => world.act(who, *act, *twice).await,
            Step::Kill(worker) => world.kill(*worker).await,
            Step::Again(worker) => {
                world.kill(*worker).await;
                world.read(*worker, WORKERS).await;
            }
            Step::Released(count) => world.let_go(*count).await,
            Step::Limited(account) => world.limited(*account).await,
            Step::NextWindow => world.next_window().await,
        }
        world.check().await;
    }
    world.finish().await;
}
