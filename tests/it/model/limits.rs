//! Any sequence of calls that take of limits, by three workers that die, stop, and come back: what is held is
//! what the journal says, what was used is what was spent, no limit is overrun, and nothing stays taken.

mod books;
mod hands;
mod world;

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{FileFailurePersistence, TestRunner},
};
use tokio::runtime::Runtime;

use self::world::World;

/// Workers.
const WORKERS: usize = 3;

/// The most that a call takes of a window.
const MOST: u64 = 8;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A job comes.
    Enqueue,
    /// A worker pulls so many.
    Read(usize, usize),
    /// Whoever believes to have a job does something with it, perhaps twice, as after a lost reply.
    Act(Index, Act, bool),
    /// A worker is thought dead and what it holds is taken from it; it does not know.
    Kill(usize),
    /// So it is, and it gets the same jobs again, which it has twice from then on.
    Again(usize),
    /// Time passes, and the scheduler lets so many go.
    LetGo(usize),
    /// A provider limits an account.
    Limited(usize),
    /// The next day begins.
    NextWindow,
}

/// What a worker does with a job.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Begins an attempt with the first candidate.
    Begin(Call),
    /// Looks for a candidate with room, or waits.
    Reserve(Call, Call),
    /// Ends an attempt, or what it has without one.
    End(End, Came),
}

/// A call: its account, what it takes at most, and whether it comes late from the day before.
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

/// What an attempt came to.
#[derive(Debug, Clone, Copy)]
enum Came {
    /// So much, or all that it took.
    To(u64),
    /// Nobody knows.
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
        3 => (1..4_usize).prop_map(Step::LetGo),
        1 => (0..2_usize).prop_map(Step::Limited),
        1 => Just(Step::NextWindow),
    ]
}

#[test]
fn limits_hold_and_nothing_stays_taken() {
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
            Step::LetGo(count) => world.let_go(*count).await,
            Step::Limited(account) => world.limited(*account).await,
            Step::NextWindow => world.next_window().await,
        }
        world.check().await;
    }
    world.finish().await;
}
