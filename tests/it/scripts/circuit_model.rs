//! Random calls, claims and probe results of three workers with late reports, compared with a plain model of
//! a circuit: it opens only by its rule, one worker probes at a time, and a successful probe always closes
//! it.

use std::time::Duration;

use longshore_broker::{Claim, Counts};
use longshore_policy::limits::Circuit;
use longshore_protocol::call::ErrorClass;
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::runtime::Runtime;

use super::{
    circuit::name,
    fixture::{Fixture, id, past},
};

const WORKERS: [&str; 3] = ["a", "b", "c"];
const LEASE: i64 = 3000;
const PARTS: i64 = 20;

fn rule() -> Circuit {
    Circuit {
        min_calls: 4,
        ..Circuit::default()
    }
}

/// One step of a random run.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes (ms).
    Wait(i64),
    /// Calls, how many of them failed, and how late they are reported (ms).
    Count(u64, u64, i64),
    /// A worker claims the probe, or renews the claim.
    Claim(&'static str),
    /// A worker ends its probe, if it has or had one, with success or not.
    End(&'static str, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let worker = prop::sample::select(&WORKERS[..]);
    prop_oneof![
        4 => prop_oneof![0..400_i64, 400..9000_i64].prop_map(Step::Wait),
        8 => (1..6_u64, 0..6_u64, prop_oneof![Just(0), 0..2000_i64])
            .prop_map(|(calls, failed, late)| Step::Count(calls, failed.min(calls), late)),
        4 => worker.clone().prop_map(Step::Claim),
        2 => (worker, any::<bool>()).prop_map(|(who, well)| Step::End(who, well)),
    ]
}

/// An open circuit.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    until: i64,
    cooldown: i64,
    prober: Option<(&'static str, i64)>,
}

/// The model of a circuit.
#[derive(Debug, Default)]
struct Model {
    now: i64,
    /// Time slice, calls, failures; since the first failure.
    told: Vec<(i64, u64, u64)>,
    open: Option<Open>,
}

impl Model {
    fn count(&mut self, at: i64, calls: u64, failed: u64) -> (Option<i64>, bool) {
        let rule = rule();
        if let Some(open) = &self.open {
            return (Some(open.until), false);
        }
        let part = past(at).timestamp_millis() * PARTS / ms(rule.window);
        self.told.push((part, calls, failed));
        let newest = self.told.iter().map(|told| told.0).max().unwrap();
        self.told.retain(|told| told.0 > newest - PARTS);
        let sums = |parts: i64| {
            self.told
                .iter()
                .filter(|told| told.0 > newest - parts)
                .fold((0, 0), |sum, told| (sum.0 + told.1, sum.1 + told.2))
        };
        let opens = failed > 0
            && (2..=PARTS).map(sums).any(|(calls, failed)| {
                calls >= u64::from(rule.min_calls)
                    && failed * 100 >= calls * u64::from(rule.error_percent)
            });
        if opens {
            let cooldown = ms(rule.cooldown);
            self.open = Some(Open {
                until: at + cooldown,
                cooldown,
                prober: None,
            });
        }
        if opens || sums(PARTS).1 == 0 {
            self.told.clear();
        }
        (self.open.as_ref().map(|open| open.until), opens)
    }

    fn claim(&mut self, who: &'static str) -> Claim {
        let now = self.now;
        let Some(open) = &mut self.open else {
            return Claim::Closed;
        };
        match open.prober {
            _ if now < open.until => Claim::Open(past(open.until)),
            Some((other, until)) if other != who && now < until => Claim::Taken(past(until)),
            _ => {
                open.prober = Some((who, now + LEASE));
                Claim::Yes
            }
        }
    }

    fn end(&mut self, who: &'static str, well: bool) -> Option<i64> {
        let now = self.now;
        let open = self.open.as_mut()?;
        if open.prober.is_some_and(|(prober, _)| prober == who) {
            if well {
                self.open = None;
                return None;
            }
            open.cooldown = (open.cooldown * 2).min(ms(rule().max_cooldown));
            open.until = now + open.cooldown;
            open.prober = None;
        }
        Some(open.until)
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}

#[test]
fn a_circuit_behaves_as_the_model() {
    let runtime = Runtime::new().unwrap();
    TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
    .run(&prop::collection::vec(step(), 1..80), |steps| {
        runtime.block_on(live(&steps));
        Ok(())
    })
    .unwrap();
}

async fn live(steps: &[Step]) {
    let (fixture, mut model) = (Fixture::new().await, Model::default());
    // Who holds the probe, and until when; nobody else may hold it meanwhile.
    let mut probing: Option<(&'static str, i64)> = None;
    for step in steps {
        match step {
            Step::Wait(time) => model.now += time,
            Step::Count(calls, failed, late) => {
                let at = model.now - late;
                let counts = Counts {
                    at: past(at),
                    calls: *calls,
                    failed: (*failed > 0).then_some((*failed, ErrorClass::Network)),
                };
                let counted = fixture
                    .broker
                    .circuits()
                    .count_calls(&name("m"), counts, &rule())
                    .await
                    .unwrap();
                // No recent failure: there is nothing to add to.
                let skipped = *failed == 0 && model.open.is_none() && model.told.is_empty();
                let (until, opened) = if skipped {
                    (None, false)
                } else {
                    model.count(at, *calls, *failed)
                };
                assert_eq!(
                    (counted.open_until, counted.opened),
                    (until.map(past), opened)
                );
            }
            Step::Claim(who) => {
                let claimed = fixture
                    .broker
                    .circuits()
                    .claim_probe(
                        &name("m"),
                        &id(who),
                        past(model.now),
                        Duration::from_secs(3),
                    )
                    .await
                    .unwrap();
                assert_eq!(claimed, model.claim(who));
                if claimed == Claim::Yes {
                    let alone =
                        probing.is_none_or(|(other, until)| other == *who || until <= model.now);
                    assert!(alone, "two probe at once");
                    probing = Some((who, model.now + LEASE));
                }
            }
            Step::End(who, well) => {
                assert_eq!(
                    end(&fixture, &model, who, *well).await,
                    model.end(who, *well)
                );
                probing = probing.filter(|(prober, _)| *prober != *who);
            }
        }
    }
    // From any state: once the open time is over, one successful call closes it.
    model.now += ms(rule().max_cooldown) + LEASE;
    let claimed = fixture
        .broker
        .circuits()
        .claim_probe(
            &name("m"),
            &id("z"),
            past(model.now),
            Duration::from_secs(3),
        )
        .await
        .unwrap();
    if model.open.is_some() {
        assert_eq!(claimed, Claim::Yes);
        let until = fixture
            .broker
            .circuits()
            .end_probe(&name("m"), &id("z"), past(model.now), None, &rule())
            .await
            .unwrap();
        assert_eq!(until, None);
        assert_eq!(fixture.broker.circuits().list().await.unwrap(), []);
    } else {
        assert_eq!(claimed, Claim::Closed);
    }
}

async fn end(fixture: &Fixture, model: &Model, who: &'static str, well: bool) -> Option<i64> {
    let failed = (!well).then_some(ErrorClass::Timeout);
    fixture
        .broker
        .circuits()
        .end_probe(&name("m"), &id(who), past(model.now), failed, &rule())
        .await
        .unwrap()
        .map(|until| (until - past(0)).num_milliseconds())
}
