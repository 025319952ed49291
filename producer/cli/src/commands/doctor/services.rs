//! Checks of what Redis says about workers, platforms, queues and lanes.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError, CircuitReport, Heartbeat, QueueDepth, ServerMemory};
use longshore_policy::limits::LimitedQueues;
use longshore_protocol::id::{JobId, QueueName};
use longshore_settings::suggest::closest;

use super::checks::Check;
use crate::{
    render::{
        lane::waiting_for,
        text::{counted, grouped},
        time::{age, timestamp},
    },
    session::queue_depths,
};

/// A lane with so many jobs is worth a look.
const MANY_JOBS: u64 = 1_000;

/// So is one whose first job waits for so long.
const LONG_WAIT: TimeDelta = TimeDelta::hours(1);

/// The lane of jobs that wait for their time. How long they wait says nothing.
const TIME_LANE: &str = "time";

/// The share of `maxmemory` at which somebody must act, in percent.
const MOST_MEMORY: u64 = 90;

/// What keeps jobs waiting, as of `now` by the clock of Redis.
pub(super) async fn check(
    broker: &Broker,
    workers: &[Heartbeat],
    now: DateTime<Utc>,
) -> Result<Vec<Check>, BrokerError> {
    let mut checks: Vec<Check> = old_workers(workers).into_iter().collect();
    let circuits = broker.circuits().list().await?;
    checks.extend(circuits.iter().filter_map(open_circuit));
    let depths = queue_depths(broker).await?;
    checks.extend(
        depths
            .iter()
            .filter_map(|depth| unread_queue(depth, workers)),
    );
    let lanes = lanes(broker).await?;
    checks.extend(lanes.iter().filter_map(|lane| long_lane(lane, now)));
    Ok(checks)
}

/// How much of its memory Redis uses.
pub(super) fn memory_check(memory: ServerMemory) -> Check {
    let name = "memory";
    let ServerMemory { used, limit } = memory;
    let megabytes = |bytes: u64| grouped(bytes >> 20);
    if limit == 0 {
        return Check::ok(name, format!("{} MB, without a limit", megabytes(used)));
    }
    let percent = used.saturating_mul(100) / limit;
    let (used, limit) = (megabytes(used), megabytes(limit));
    let text = format!("{used} of {limit} MB in use ({percent}%)");
    if percent < MOST_MEMORY {
        return Check::ok(name, text);
    }
    Check::problem(
        name,
        format!("{text}; at 100% producers are refused"),
        "raise maxmemory, or free memory: `longshore queues` and `longshore dlq list` show what is stored",
    )
}

/// Workers of an older release than others.
fn old_workers(workers: &[Heartbeat]) -> Option<Check> {
    let newest = workers
        .iter()
        .max_by_key(|worker| release(&worker.version))?;
    let is_old = |worker: &&Heartbeat| release(&worker.version) < release(&newest.version);
    let old: Vec<&Heartbeat> = workers.iter().filter(is_old).collect();
    let first = old.first()?;
    let text = format!(
        "{} of {} run an older release than {}, such as {} ({})",
        old.len(),
        workers.len(),
        newest.version,
        first.worker,
        first.version
    );
    Some(Check::info("worker releases", text).with_advice(
        "in a rolling upgrade this is expected; otherwise restart them with the newest release",
    ))
}

/// The numbers of a release, for comparison.
fn release(version: &str) -> Vec<u64> {
    let numbers = version.split(|c: char| !c.is_ascii_digit());
    numbers.map_while(|number| number.parse().ok()).collect()
}

/// A model that no worker calls, because its calls fail.
fn open_circuit(circuit: &CircuitReport) -> Option<Check> {
    let open = circuit.open.as_ref()?;
    let (name, platform) = (&circuit.name, &circuit.name.platform);
    let (since, class) = (timestamp(open.since), open.class);
    Some(Check::problem(
        "circuits",
        format!(
            "that of {name} is open since {since} ({class}): jobs go to other platforms, or wait"
        ),
        format!("`longshore failures --platform {platform}` shows what fails"),
    ))
}

/// A queue with jobs, while workers read only others.
fn unread_queue(depth: &QueueDepth, workers: &[Heartbeat]) -> Option<Check> {
    let queue = &depth.queue;
    let is_read = workers.iter().any(|worker| worker.queues.contains(queue));
    // Without any worker, that is the finding.
    if depth.available == 0 || is_read || workers.is_empty() {
        return None;
    }
    Some(Check::problem(
        "queues",
        format!(
            "no worker reads queue `{queue}`; jobs that wait in it: {}",
            grouped(depth.available)
        ),
        format!(
            "add it to `queues:` of a worker, or run `longshore jobs cancel --all --queue {queue}`"
        ),
    ))
}

/// Limits of queues that no worker reads, perhaps because a name is misspelt. A pool may have no workers now.
pub(super) fn unread_limits(limits: &LimitedQueues, workers: &[Heartbeat]) -> Vec<Check> {
    // Without any worker, that is the finding.
    if workers.is_empty() {
        return Vec::new();
    }
    let read = || workers.iter().flat_map(|worker| &worker.queues);
    let unread = limits
        .keys()
        .filter(|queue| !read().any(|one| one == *queue));
    let check = |queue: &QueueName| {
        let near = closest(queue.as_str(), read().map(QueueName::as_str));
        let near = near.map(|near| format!("did you mean `{near}`? "));
        Check::info(
            "queue limits",
            format!("`queue_limits.{queue}`: no worker reads this queue"),
        )
        .with_advice(format!(
            "{}correct the name, add the queue to `queues:` of a worker, or remove the limit",
            near.unwrap_or_default()
        ))
    };
    unread.map(check).collect()
}

/// A lane that is not empty.
#[derive(Debug)]
struct WaitingLane {
    name: String,
    jobs: u64,
    /// The first job, and when it was enqueued.
    first: Option<(JobId, DateTime<Utc>)>,
}

async fn lanes(broker: &Broker) -> Result<Vec<WaitingLane>, BrokerError> {
    let lane = |(name, jobs)| WaitingLane {
        name,
        jobs,
        first: None,
    };
    let sizes = broker.lanes().sizes().await?;
    let mut lanes: Vec<WaitingLane> = sizes.into_iter().map(lane).collect();
    for entry_id in broker.lanes().first_entry_ids(1).await? {
        let Some(parked) = broker.lanes().parked_entry(&entry_id).await? else {
            continue;
        };
        let (id, enqueued_at) = (parked.checkpoint.id, parked.checkpoint.enqueued_at);
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.name == parked.lane) {
            lane.first = Some((id, enqueued_at));
        }
    }
    Ok(lanes)
}

/// A lane with many jobs, or whose first one waits for long.
fn long_lane(lane: &WaitingLane, now: DateTime<Utc>) -> Option<Check> {
    let first = lane.first.as_ref().filter(|_| lane.name != TIME_LANE);
    let is_old = first.is_some_and(|(_, since)| now - *since >= LONG_WAIT);
    if lane.jobs < MANY_JOBS && !is_old {
        return None;
    }
    let (jobs, what) = (counted(lane.jobs, "job"), waiting_for(&lane.name));
    let first = match first {
        Some((_, since)) => format!("; the first one came {} ago", age(*since, now)),
        None => String::new(),
    };
    let check = Check::info("lanes", format!("{jobs} waiting for {what}{first}"));
    Some(match &lane.first {
        Some((id, _)) => check.with_advice(format!("`longshore jobs why {id}` explains the first")),
        None => check,
    })
}

#[cfg(test)]
mod tests {
    use longshore_broker::{CircuitName, OpenCircuit, WorkerState};
    use longshore_policy::limits::QueueLimits;
    use longshore_protocol::{call::ErrorClass, id::WorkerId, platform::PlatformName};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn worker(name: &str, version: &str) -> Heartbeat {
        Heartbeat {
            worker: WorkerId::from_stored(name),
            version: version.to_owned(),
            pid: 1,
            started_at_ms: 0,
            queues: vec![QueueName::default()],
            host: String::new(),
            state: WorkerState::Running,
            said_at_ms: 0,
            in_flight: 0,
            concurrency: 1,
        }
    }

    #[test]
    fn limits_of_queues_that_no_worker_reads_are_named() {
        let names = ["default", "defualt", "bulk"];
        let limits = names.map(|name| (QueueName::parse(name).unwrap(), QueueLimits::default()));
        let limits = LimitedQueues::from(limits);
        assert_eq!(unread_limits(&limits, &[]), []);
        let found = unread_limits(&limits, &[worker("w", "0.1.0")]);
        let found: Vec<String> = found.iter().map(Check::to_string).collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        [--] queue limits: `queue_limits.bulk`: no worker reads this queue
             → correct the name, add the queue to `queues:` of a worker, or remove the limit
        [--] queue limits: `queue_limits.defualt`: no worker reads this queue
             → did you mean `default`? correct the name, add the queue to `queues:` of a worker, or remove the limit
        ");
    }

    fn text(check: Option<Check>) -> String {
        check.map_or_else(String::new, |check| check.to_string())
    }

    #[test]
    fn older_releases_are_found_by_number() {
        let workers = ["0.9.1", "0.10.0", "0.10.0"].map(|version| worker("vm-7", version));
        insta::assert_snapshot!(text(old_workers(&workers)), @r"
        [--] worker releases: 1 of 3 run an older release than 0.10.0, such as vm-7 (0.9.1)
             → in a rolling upgrade this is expected; otherwise restart them with the newest release
        ");
        assert_eq!(old_workers(&workers[1..]), None);
        assert_eq!(old_workers(&[]), None);
    }

    #[test]
    fn queues_that_nobody_reads_are_a_problem() {
        let depth = |queue: &str, available| QueueDepth {
            queue: QueueName::parse(queue).unwrap(),
            available,
            running: 0,
            oldest_at: None,
        };
        let workers = [worker("vm-7", "1.0.0")];
        insta::assert_snapshot!(text(unread_queue(&depth("bulk", 1200), &workers)), @r"
        [!!] queues: no worker reads queue `bulk`; jobs that wait in it: 1,200
             → add it to `queues:` of a worker, or run `longshore jobs cancel --all --queue bulk`
        ");
        assert_eq!(unread_queue(&depth("default", 1200), &workers), None);
        assert_eq!(unread_queue(&depth("bulk", 0), &workers), None);
        assert_eq!(unread_queue(&depth("bulk", 1200), &[]), None);
    }

    #[test]
    fn open_circuits_are_a_problem() {
        let mut circuit = CircuitReport {
            name: CircuitName {
                platform: PlatformName::from_stored("openai"),
                model: "gpt-4o".to_owned(),
            },
            open: Some(OpenCircuit {
                since: at("2026-12-01T08:03:00Z"),
                until: at("2026-12-01T08:03:30Z"),
                class: ErrorClass::Network,
                probing_until: None,
            }),
        };
        insta::assert_snapshot!(text(open_circuit(&circuit)), @r"
        [!!] circuits: that of openai/gpt-4o is open since 2026-12-01T08:03:00Z (network): jobs go to other platforms, or wait
             → `longshore failures --platform openai` shows what fails
        ");
        circuit.open = None;
        assert_eq!(open_circuit(&circuit), None);
    }

    #[test]
    fn lanes_with_many_or_old_jobs_are_shown() {
        let now = at("2026-12-01T12:00:00Z");
        let lane = |name: &str, jobs, since: &str| WaitingLane {
            name: name.to_owned(),
            jobs,
            first: Some((JobId::parse("inv-42").unwrap(), at(since))),
        };
        let (old, new) = ("2026-12-01T09:00:00Z", "2026-12-01T11:59:00Z");
        insta::assert_snapshot!(text(long_lane(&lane("quota:rpm:gemini", 3, old), now)), @r"
        [--] lanes: 3 jobs waiting for gemini's requests a minute; the first one came 3h ago
             → `longshore jobs why inv-42` explains the first
        ");
        insta::assert_snapshot!(text(long_lane(&lane("time", 5000, old), now)), @r"
        [--] lanes: 5,000 jobs waiting for their due time
             → `longshore jobs why inv-42` explains the first
        ");
        assert_eq!(long_lane(&lane("quota:rpm:gemini", 999, new), now), None);
        assert_eq!(long_lane(&lane("time", 3, old), now), None);
    }

    #[test]
    fn a_full_memory_is_a_problem() {
        let memory = |used, limit| memory_check(ServerMemory { used, limit }).to_string();
        assert_eq!(memory(100 << 20, 0), "[OK] memory: 100 MB, without a limit");
        assert_eq!(
            memory(89 << 20, 100 << 20),
            "[OK] memory: 89 of 100 MB in use (89%)"
        );
        assert!(memory(95 << 20, 100 << 20).starts_with(
            "[!!] memory: 95 of 100 MB in use (95%); at 100% producers are refused\n     → raise maxmemory"
        ));
    }
}
