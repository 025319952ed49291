//! Scales as KEDA and the `HorizontalPodAutoscaler` would with the chart's `ScaledObject`, in a fraction of the time.

use std::{collections::VecDeque, fs, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use longshore_settings::{Booleans, yaml};
use serde_json::Value;
use tokio::time::Instant;

/// How much faster time passes than in a cluster: a poll every 15 s becomes one every 50 ms.
const SPEED: u32 = 300;

/// The `HorizontalPodAutoscaler`'s default tolerance: it ignores a ratio of use to target that is so close to 1.
const TOLERANCE: f64 = 0.1;

/// What the chart asks for, in the time of the test.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) min: usize,
    pub(super) max: usize,
    /// Jobs, waiting or in flight, for each worker: the target of the formula of both stream lengths.
    pub(super) jobs_per_replica: f64,
    pub(super) polling_interval: Duration,
    up: Direction,
    down: Direction,
}

/// `behavior.scaleUp` or `behavior.scaleDown`, with its one policy.
#[derive(Debug, Clone)]
struct Direction {
    stabilization: Duration,
    period: Duration,
    step: Step,
}

/// How much may change in a period.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pods(usize),
    Percent(usize),
}

impl Rules {
    /// The defaults of the chart for a pool of workers with this concurrency, scaled between `min` and `max`.
    pub(super) fn of_chart(concurrency: usize, min: usize, max: usize) -> anyhow::Result<Self> {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/longshore/values.yaml");
        let text = fs::read_to_string(&file)?;
        let values = yaml::load(&file, &text, Booleans::Strict)
            .map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let values = serde_json::to_value(values)?;
        let autoscaling = values
            .pointer("/worker/autoscaling")
            .context("values.yaml has no worker.autoscaling")?;
        ensure!(
            autoscaling.pointer("/keda/jobsPerReplica") == Some(&Value::Null),
            "the chart has a `jobsPerReplica` of its own now; this test computes it as _keda.tpl does"
        );
        let target = (concurrency * 8 / 10).max(1);
        Ok(Self {
            min,
            max,
            jobs_per_replica: f64::from(u32::try_from(target)?),
            polling_interval: seconds(autoscaling, "/keda/pollingInterval")?,
            up: Direction::read(autoscaling, "/behavior/scaleUp")?,
            down: Direction::read(autoscaling, "/behavior/scaleDown")?,
        })
    }
}

impl Direction {
    fn read(autoscaling: &Value, path: &str) -> anyhow::Result<Self> {
        let policies = format!("{path}/policies");
        let policies = autoscaling.pointer(&policies).and_then(Value::as_array);
        let [policy] = policies.context("no policies")?.as_slice() else {
            anyhow::bail!("{path} has several policies; this test knows one");
        };
        let value = policy.pointer("/value").and_then(Value::as_u64);
        let value = usize::try_from(value.context("a policy has no value")?)?;
        let step = match policy.pointer("/type").and_then(Value::as_str) {
            Some("Pods") => Step::Pods(value),
            Some("Percent") => Step::Percent(value),
            other => anyhow::bail!("{path} has a policy of type {other:?}"),
        };
        Ok(Self {
            stabilization: seconds(autoscaling, &format!("{path}/stabilizationWindowSeconds"))?,
            period: seconds(policy, "/periodSeconds")?,
            step,
        })
    }
}

fn seconds(of: &Value, path: &str) -> anyhow::Result<Duration> {
    let seconds = of.pointer(path).and_then(Value::as_u64);
    let seconds = seconds.with_context(|| format!("values.yaml has no {path}"))?;
    Ok(Duration::from_secs(seconds) / SPEED)
}

/// The autoscaler's memory.
#[derive(Debug)]
pub(super) struct Autoscaler {
    rules: Rules,
    /// What was recommended, newest last.
    recommendations: VecDeque<(Instant, usize)>,
    /// How many workers were added, and removed, newest last.
    added: VecDeque<(Instant, usize)>,
    removed: VecDeque<(Instant, usize)>,
}

impl Autoscaler {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            recommendations: VecDeque::new(),
            added: VecDeque::new(),
            removed: VecDeque::new(),
        }
    }

    /// How many workers there are to be, of `current` and with so many jobs in both streams.
    pub(super) fn replicas(&mut self, now: Instant, current: usize, jobs: u64) -> usize {
        let wanted = self.wanted(current, jobs);
        self.recommendations.push_back((now, wanted));
        let stable = self.stabilized(now, current, wanted);
        let limited = if stable > current {
            stable.min(self.most(now, current))
        } else {
            stable.max(self.fewest(now, current))
        };
        let next = limited.clamp(self.rules.min, self.rules.max);
        if next > current {
            self.added.push_back((now, next - current));
        } else if next < current {
            self.removed.push_back((now, current - next));
        }
        next
    }

    /// Enough for the target of each, unless those that there are nearly fit.
    fn wanted(&self, current: usize, jobs: u64) -> usize {
        let jobs = float(usize::try_from(jobs).unwrap());
        let target = self.rules.jobs_per_replica;
        if (jobs / (target * float(current)) - 1.0).abs() <= TOLERANCE {
            return current;
        }
        let wanted = (0..self.rules.max).find(|count| float(*count) * target >= jobs);
        wanted
            .unwrap_or(self.rules.max)
            .clamp(self.rules.min, self.rules.max)
    }

    /// The least change that was recommended in the window of each direction.
    fn stabilized(&mut self, now: Instant, current: usize, wanted: usize) -> usize {
        let Rules { up, down, .. } = &self.rules;
        forget_before(
            &mut self.recommendations,
            now,
            up.stabilization.max(down.stabilization),
        );
        let within = |window: Duration| {
            let recent = self.recommendations.iter();
            recent
                .filter(move |(at, _)| now - *at <= window)
                .map(|(_, count)| *count)
        };
        let lowest = within(up.stabilization).min().unwrap_or(wanted);
        let highest = within(down.stabilization).max().unwrap_or(wanted);
        current.max(lowest).min(highest)
    }

    /// The most workers that the policy allows now.
    fn most(&mut self, now: Instant, current: usize) -> usize {
        let Direction { period, step, .. } = self.rules.up;
        let began_with = current - sum_within(&mut self.added, now, period).min(current);
        match step {
            Step::Pods(pods) => began_with + pods,
            Step::Percent(percent) => began_with + (began_with * percent).div_ceil(100),
        }
    }

    /// The fewest workers that the policy allows now.
    fn fewest(&mut self, now: Instant, current: usize) -> usize {
        let Direction { period, step, .. } = self.rules.down;
        let began_with = current + sum_within(&mut self.removed, now, period);
        match step {
            Step::Pods(pods) => began_with.saturating_sub(pods),
            Step::Percent(percent) => began_with - began_with * percent / 100,
        }
        .min(current)
    }
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn forget_before<T>(log: &mut VecDeque<(Instant, T)>, now: Instant, window: Duration) {
    while log.front().is_some_and(|(at, _)| now - *at > window) {
        log.pop_front();
    }
}

fn sum_within(log: &mut VecDeque<(Instant, usize)>, now: Instant, window: Duration) -> usize {
    forget_before(log, now, window);
    log.iter().map(|(_, count)| count).sum()
}

#[test]
fn it_grows_by_doubling_and_shrinks_by_one_after_the_window() {
    let rules = Rules::of_chart(10, 1, 8).unwrap();
    let (poll, window) = (rules.polling_interval, rules.down.stabilization);
    let mut autoscaler = Autoscaler::new(rules.clone());
    let begin = Instant::now();
    // 8 for each: 60 jobs need 8 workers, at most twice as many in a period of two polls.
    let mut current = 1;
    let grown: Vec<usize> = (0..8)
        .map(|at| {
            current = autoscaler.replicas(begin + poll * at, current, 60);
            current
        })
        .collect();
    assert_eq!(grown, [2, 2, 2, 4, 4, 4, 8, 8]);

    assert_eq!(autoscaler.wanted(8, 60), 8);
    assert_eq!(autoscaler.wanted(4, 35), 4, "within the tolerance");
    assert_eq!(autoscaler.wanted(4, 36), 5);
    assert_eq!(autoscaler.wanted(8, 0), 1);

    let idle = begin + poll * 8;
    assert_eq!(
        autoscaler.replicas(idle, 8, 0),
        8,
        "8 were wanted in the window"
    );
    let over = idle + window;
    assert_eq!(autoscaler.replicas(over, 8, 0), 7);
    assert_eq!(autoscaler.replicas(over + poll, 7, 0), 7, "one in a period");
    let next = over + rules.down.period + poll;
    assert_eq!(autoscaler.replicas(next, 7, 0), 6);
}
