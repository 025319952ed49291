use longshore_client::{ChainId, JobId, Usd};
use longshore_ledger::Figures;
use longshore_protocol::{chain::ChainKind, event::ChainRecord};

use super::*;
use crate::commands::chain::reader::{Conditions, Failure};

const BEGUN: i64 = 1_795_232_878_059;

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(BEGUN + ms).unwrap()
}

fn step(
    name: &str,
    needs: &[&str],
    state: StepState,
    span: Option<(i64, i64)>,
    cost: &str,
) -> StepStatus {
    let parse = |name: &&str| StepName::parse(name).unwrap();
    StepStatus {
        name: parse(&name),
        needs: needs.iter().map(parse).collect(),
        conditions: Conditions::default(),
        state,
        items: None,
        ended: 0,
        completed: 0,
        started: span.map(|(from, _)| at(from)),
        finished: span.map(|(_, to)| at(to)),
        figures: Some(Figures {
            attempts: u64::from(span.is_some()),
            cost_usd: cost.parse().unwrap(),
            ..Figures::default()
        }),
        failures: Vec::new(),
    }
}

pub(in crate::commands::chain) fn chain(state: ChainState, steps: Vec<StepStatus>) -> ChainStatus {
    ChainStatus {
        record: ChainRecord {
            chain_id: ChainId::parse("report-7").unwrap(),
            name: Some("weekly report".to_owned()),
            kind: ChainKind::Chain,
            state,
            steps: steps.len() as u64,
            begun_ms: BEGUN,
            ended_ms: state.is_final().then_some(BEGUN + 12_345),
        },
        cost: steps
            .iter()
            .filter_map(|step| step.figures)
            .map(|figures| figures.cost_usd)
            .sum::<Usd>(),
        unknown: 0,
        steps,
    }
}

pub(in crate::commands::chain) fn example_chain(state: ChainState) -> ChainStatus {
    let running = state == ChainState::Running;
    let mut each = step(
        "each",
        &["research"],
        StepState::Running,
        Some((2200, 9000)),
        "0.0101",
    );
    (each.items, each.ended, each.completed) = (Some(1200), 4, 3);
    let job = JobId::parse("report-7/each/3").unwrap();
    let error = "All platforms failed. Last error: overloaded.\nTried: gemini".to_owned();
    each.failures.push(Failure { job, error });
    if !running {
        each.state = StepState::Failed;
    }
    let last = if running {
        StepState::Waiting
    } else {
        StepState::Skipped
    };
    chain(
        state,
        vec![
            step(
                "research",
                &[],
                StepState::Completed,
                Some((40, 2140)),
                "0.0012",
            ),
            each,
            step("merge", &["each"], last, None, "0"),
            step(
                "facts",
                &["research"],
                StepState::Completed,
                Some((2200, 165_000)),
                "0.0000004",
            ),
            step("check", &["facts", "merge"], last, None, "0"),
            step("extra", &[], StepState::Ready, None, "0"),
        ],
    )
}

#[test]
fn the_tree_of_a_running_chain() {
    insta::assert_snapshot!(chain_tree(&example_chain(ChainState::Running), at(12_345)), @"
    weekly report (report-7): running, 2 of 6 steps, 12.3s, $0.0113
    ├─ ✓ research        completed                  2.1s   $0.0012
    │  ├─ ● each         running 3/1,200, 1 failed  10.1s  $0.0101
    │  │      report-7/each/3: All platforms failed. Last error: overloaded. Tried: gemini
    │  │  └─ · merge     waiting
    │  │     └─ · check  waiting                             needs facts, merge
    │  └─ ✓ facts        completed                  2m     $0.0000004
    └─ ○ extra           ready
    ");
}

#[test]
fn the_tree_of_an_ended_chain() {
    let mut chain = example_chain(ChainState::Failed);
    chain.unknown = 2;
    chain.record.name = None;
    insta::assert_snapshot!(chain_tree(&chain, at(99_999)), @"
    Chain report-7: failed, 5 of 6 steps, 12.3s, $0.0113 and 2 attempts of unknown cost
    ├─ ✓ research        completed                 2.1s  $0.0012
    │  ├─ ✗ each         failed 3/1,200, 1 failed  6.8s  $0.0101
    │  │      report-7/each/3: All platforms failed. Last error: overloaded. Tried: gemini
    │  │  └─ – merge     skipped
    │  │     └─ – check  skipped                           needs facts, merge
    │  └─ ✓ facts        completed                 2m    $0.0000004
    └─ ○ extra           ready
    ");
}

#[test]
fn a_large_chain_shows_its_active_steps() {
    insta::assert_snapshot!(short_chain_tree(&example_chain(ChainState::Running), at(12_345), 6), @"
    weekly report (report-7): running, 2 of 6 steps, 12.3s, $0.0113
    ├─ ● each   running 3/1,200, 1 failed  10.1s  $0.0101
    └─ ○ extra  ready
    … and 4 more steps
    ");
}

#[test]
fn a_chain_of_maximum_depth_is_drawn() {
    let name = |index: usize| format!("s{index}");
    let steps = (0..10_000_usize).map(|index| {
        let before = index.checked_sub(1).map(name);
        let needs: Vec<&str> = before.as_deref().into_iter().collect();
        step(&name(index), &needs, StepState::Waiting, None, "0")
    });
    let chain = chain(ChainState::Running, steps.collect());
    let drawn = chain_tree(&chain, at(0));
    assert_eq!(drawn.lines().count(), 10_001);
    assert!(drawn.lines().all(|line| line.chars().count() < 80));
}
