use longshore_policy::limits::Pacing;

use super::*;

const NOW_MS: i64 = 1_800_000_000_000;

fn window(limit: u64, hard: bool) -> MeterAmount {
    MeterAmount::Window {
        meter: "rpd:gemini".to_owned(),
        window: NOW_MS - 1_000,
        end: Some(NOW_MS + 1_000),
        limit,
        amount: 0,
        unit: Unit::Requests,
        hard,
        at_limit: AtLimit::Wait,
        definition: None,
    }
}

fn slots(half_of: Option<u64>) -> MeterAmount {
    MeterAmount::Slots {
        meter: "slots:gemini".to_owned(),
        limit: 50,
        half_of: half_of.map(|limit| ("rpd:gemini".to_owned(), limit)),
    }
}

fn day(used: u64, held: u64) -> Counts {
    Counts {
        window: Some(NOW_MS - 1_000),
        used,
        held,
        end_ms: NOW_MS + 1_000,
        ..Counts::default()
    }
}

fn fill(take: &MeterAmount, counts: &[(&'static str, Counts)]) -> MeterUsage {
    let counts = counts.iter().copied().collect();
    report(take, &counts, NOW_MS * 1_000).fill
}

fn taken(take: &MeterAmount, counts: Counts) -> u64 {
    match fill(take, &[("rpd:gemini", counts)]) {
        MeterUsage::Window(fill) => fill.taken(),
        other => panic!("{other:?}"),
    }
}

fn slots_and_left(take: &MeterAmount, counts: &[(&'static str, Counts)]) -> (u32, u64) {
    match fill(take, counts) {
        MeterUsage::Slots { cap, in_use, .. } => (cap, in_use),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_window_that_is_over_counts_for_nothing() {
    let take = window(1_500, true);
    assert_eq!(taken(&take, day(450, 3)), 453);
    assert_eq!(taken(&take, Counts::default()), 0);
    let another = Counts {
        window: Some(NOW_MS - 2_000),
        ..day(450, 3)
    };
    assert_eq!(taken(&take, another), 0);
    let over = Counts {
        end_ms: NOW_MS,
        ..day(450, 3)
    };
    assert_eq!(taken(&take, over), 0);
    // One that never ends.
    let ever = Counts {
        end_ms: 0,
        ..day(450, 3)
    };
    assert_eq!(taken(&take, ever), 453);
}

#[test]
fn what_is_left_is_never_less_than_nothing() {
    let MeterUsage::Window(fill) = fill(&window(100, false), &[("rpd:gemini", day(100, 20))])
    else {
        panic!("a window");
    };
    assert_eq!(
        (fill.taken(), fill.remaining(), fill.percent()),
        (120, 0, 120)
    );
    assert_eq!(fill.and(80).percent(), 200);
}

#[test]
fn places_are_as_many_as_the_scripts_allow() {
    let busy = |cap| Counts {
        cap,
        in_use: 7,
        ..Counts::default()
    };
    let all = |cap, day| [("slots:gemini", busy(cap)), ("rpd:gemini", day)];
    assert_eq!(slots_and_left(&slots(None), &all(None, day(0, 0))), (50, 7));
    assert_eq!(
        slots_and_left(&slots(None), &all(Some(12.7), day(0, 0))),
        (12, 7)
    );
    assert_eq!(
        slots_and_left(&slots(Some(100)), &all(None, day(60, 9))),
        (15, 7)
    );
    assert_eq!(
        slots_and_left(&slots(Some(100)), &all(None, day(100, 9))),
        (1, 7)
    );
    let yesterday = Counts {
        end_ms: NOW_MS,
        ..day(100, 0)
    };
    assert_eq!(
        slots_and_left(&slots(Some(100)), &all(None, yesterday)),
        (50, 7)
    );
}

#[test]
fn a_rate_tells_what_may_go_at_once() {
    let pacing = Pacing::requests(600);
    let take = MeterAmount::Rate {
        meter: "rpm:openai".to_owned(),
        per_minute: 600,
        pacing,
        amount: 0,
    };
    let free = |micros: u64| {
        let counts = Counts {
            full_at_micros: NOW_MS * 1_000 + i64::try_from(micros).unwrap(),
            ..Counts::default()
        };
        match fill(&take, &[("rpm:openai", counts)]) {
            MeterUsage::Rate { free, .. } => free,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(free(0), 7);
    assert_eq!(free(pacing.cost_micros(1)), 6);
    assert_eq!(free(pacing.cost_micros(7)), 0);
    assert_eq!(free(u64::from(u32::MAX)), 0);
    let never = fill(&take, &[]);
    assert_eq!(
        never,
        MeterUsage::Rate {
            per_minute: 600,
            free: 7
        }
    );
}
