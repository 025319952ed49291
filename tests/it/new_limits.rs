//! A limit that is introduced in the middle of a window starts from what the ledger knows.

use std::time::Duration;

use longshore_protocol::{id::JobId, money::Usd, state::JobState};
use longshore_tests::stack::{Options, Process, Stack, eventually};
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    simulated::{Model, SimulatedProvider, config_yaml, outcome},
};

/// A job that costs $0.04025: 100 tokens of prompt and 4,000 of answer.
fn job() -> Value {
    json!({"prompt": "[[tokens=100,4000]] x", "max_tokens": 4000})
}

/// Such a job of one platform alone.
fn to_platform(platform: &str) -> Value {
    json!({
        "prompt": "[[tokens=100,4000]] x", "max_tokens": 4000, "platform": platform, "fallback": false,
    })
}

/// Providers without limits, and `rest`.
fn configure(stack: &Stack, rest: &str) {
    let provider = |name| SimulatedProvider::unlimited(name, Model::Dear);
    let yaml = config_yaml(stack, &[provider("a"), provider("b")], rest);
    stack.config_yaml(&yaml).unwrap();
}

/// Changes the configuration of running processes.
async fn reconfigure(stack: &Stack, processes: &[&Process], rest: &str) {
    let logged = |process: &Process, what: &str| {
        let log = std::fs::read_to_string(process.log()).unwrap();
        log.matches(what).count()
    };
    eventually("the processes have read their configuration", || async {
        for process in processes {
            anyhow::ensure!(logged(process, " started") > 0);
        }
        Ok(())
    })
    .await
    .unwrap();
    let reloads = |process: &Process| logged(process, "configuration reloaded");
    let before: Vec<usize> = processes.iter().map(|process| reloads(process)).collect();
    configure(stack, rest);
    eventually("the configuration is applied", || async {
        for (process, before) in processes.iter().zip(&before) {
            anyhow::ensure!(reloads(process) > *before);
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// What `longshore quota` shows of the budget `b`: used, and how much of that running calls hold.
async fn used(stack: &Stack) -> anyhow::Result<(Usd, Usd)> {
    let ran = stack.longshore(&["quota", "--format", "json"]).await?;
    let json: Value = serde_json::from_str(&ran.stdout)?;
    let budget = json
        .get("budgets")
        .and_then(Value::as_array)
        .and_then(|budgets| {
            budgets
                .iter()
                .find(|one| one.get("budget") == Some(&json!("b")))
        })
        .ok_or_else(|| anyhow::anyhow!("{json}"))?;
    let amount = |name: &str| -> anyhow::Result<Usd> {
        let text = budget.get(name).map(Value::to_string).unwrap_or_default();
        let amount = text.trim_matches('"').parse();
        amount.map_err(|_| anyhow::anyhow!("{budget}"))
    };
    Ok((amount("used")?, amount("held")?))
}

/// Waits until the budget `b` has used exactly this and holds nothing.
async fn uses(stack: &Stack, dollars: &str) {
    let expected = (dollars.parse::<Usd>().unwrap(), Usd::ZERO);
    eventually("the budget knows what was used", || async {
        let found = used(stack).await?;
        anyhow::ensure!(found == expected, "{found:?}, not {expected:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn complete(stack: &Stack, jobs: usize, job: &Value) {
    let jobs: Vec<String> = (0..jobs).map(|_| job.to_string()).collect();
    let ids = stack.enqueue(&jobs).await.unwrap();
    stack.successes(&ids).await.unwrap();
}

/// A budget with room for three jobs, not for a fourth.
const ROOM_FOR_THREE: &str = "budgets: [{name: b, scope: overall, limit_usd: 0.13, per: ever, kind: hard, at_limit: dead_letter}]";

/// Until this is rolled back, the ledger can be read, and nothing is recorded.
async fn hold_records(stack: &Stack) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let postgres = sqlx::PgPool::connect(&stack.database_url).await.unwrap();
    let mut busy = postgres.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE attempts IN EXCLUSIVE MODE")
        .execute(&mut *busy)
        .await
        .unwrap();
    busy
}

async fn waits(stack: &Stack, id: &[JobId]) {
    let ended = tokio::time::timeout(Duration::from_secs(5), stack.outcomes(id)).await;
    assert!(ended.is_err(), "{ended:?}");
}

/// Waits until the job has ended because three others used the budget.
async fn is_refused(stack: &Stack, id: &[JobId]) {
    let ends = stack.outcomes(id).await.unwrap();
    let states: Vec<JobState> = ends.iter().map(|end| end.state).collect();
    assert_eq!(states, [JobState::Discarded], "{ends:?}");
    uses(stack, "0.12075").await;
}

async fn check_books(stack: &Stack) {
    stack.recorded().await.unwrap();
    stack.books().await.unwrap().balance();
    let reconciled = stack.longshore(&["reconcile"]).await.unwrap();
    assert_eq!(reconciled.code, Some(0), "{reconciled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_budget_knows_what_was_spent_before_it() {
    let stack = Stack::start(Options::default()).await.unwrap();
    configure(&stack, "");
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    complete(&stack, 3, &job()).await;

    let budget = "budgets: [{name: b, scope: overall, limit_usd: 0.17, per: ever, kind: hard, at_limit: dead_letter}]";
    reconfigure(&stack, &[&worker, &scheduler], budget).await;
    // It waits for what the ledger knows: $0.12075. There is room for this one.
    assert_eq!(outcome(&stack, &job()).await.state, JobState::Completed);
    uses(&stack, "0.161").await;
    let refused = outcome(&stack, &job()).await;
    assert_eq!(refused.state, JobState::Discarded, "{refused:?}");
    assert_eq!(refused.attempts, 0, "{refused:?}");
    uses(&stack, "0.161").await;
    check_books(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_raised_by_a_restart_has_room_for_parked_jobs() {
    let budget = |limit: &str| {
        format!(
            "budgets: [{{name: b, scope: overall, limit_usd: {limit}, per: month, kind: hard, at_limit: wait}}]"
        )
    };
    let stack = Stack::start(Options::default()).await.unwrap();
    configure(&stack, &budget("0.05"));
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    complete(&stack, 1, &job()).await;
    let ids = stack.enqueue(&[job().to_string()]).await.unwrap();
    eventually("the job waits for the budget", || async {
        let quota = stack.longshore(&["quota", "--format", "json"]).await?;
        let quota: Value = serde_json::from_str(&quota.stdout)?;
        let waiting = quota.pointer("/budgets/0/waiting");
        anyhow::ensure!(waiting == Some(&json!(1)), "{quota}");
        Ok(())
    })
    .await
    .unwrap();
    worker.shut_down().await.unwrap();
    scheduler.shut_down().await.unwrap();

    configure(&stack, &budget("1"));
    let _programs = (stack.worker().unwrap(), stack.scheduler().unwrap());
    stack.successes(&ids).await.unwrap();
    uses(&stack, "0.0805").await;
    check_books(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_are_held_and_counted_once() {
    let stack = Stack::start(Options::default()).await.unwrap();
    configure(&stack, "");
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    let held = json!({"prompt": "[[tokens=100,4000]] [[hold]] x", "max_tokens": 4000});
    let ids = stack.enqueue(&[held.to_string()]).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();

    let budget = "budgets: [{name: b, scope: overall, limit_usd: 1, per: ever, kind: hard}]";
    reconfigure(&stack, &[&worker, &scheduler], budget).await;
    complete(&stack, 1, &job()).await;
    let (spent, held) = used(&stack).await.unwrap();
    assert!(
        held >= "0.04".parse().unwrap(),
        "the call in flight: {held}"
    );
    assert_eq!(spent, held + "0.04025".parse().unwrap());

    stack.simulator.release();
    stack.successes(&ids).await.unwrap();
    uses(&stack, "0.0805").await;
    complete(&stack, 1, &job()).await;
    uses(&stack, "0.12075").await;
    check_books(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_until_the_ledger_has_the_calls_that_have_ended() {
    let stack = Stack::start(Options::default()).await.unwrap();
    configure(&stack, "");
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    complete(&stack, 1, &job()).await;
    stack.recorded().await.unwrap();
    let busy = hold_records(&stack).await;
    complete(&stack, 2, &job()).await;

    reconfigure(&stack, &[&worker, &scheduler], ROOM_FOR_THREE).await;
    let id = stack.enqueue(&[job().to_string()]).await.unwrap();
    // Without what is not recorded, there would be room for it.
    waits(&stack, &id).await;
    busy.rollback().await.unwrap();
    is_refused(&stack, &id).await;
    check_books(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_for_the_scheduler_that_replaces_a_dead_leader() {
    let stack = Stack::start(Options::default()).await.unwrap();
    configure(&stack, "");
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    complete(&stack, 3, &job()).await;
    let busy = hold_records(&stack).await;
    reconfigure(&stack, &[&worker, &scheduler], ROOM_FOR_THREE).await;
    drop(scheduler);
    eventually("the lease of the dead leader expires", || async {
        let is_elected = stack.broker.leader().is_elected().await?;
        anyhow::ensure!(!is_elected);
        Ok(())
    })
    .await
    .unwrap();
    let id = stack.enqueue(&[job().to_string()]).await.unwrap();
    waits(&stack, &id).await;
    busy.rollback().await.unwrap();
    let _successor = stack.scheduler().unwrap();
    is_refused(&stack, &id).await;
    check_books(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_reservation_takes_long_are_counted_once() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let a = SimulatedProvider::limited("a", Model::Dear, "{requests_per_day: 4}");
    stack
        .config_yaml(&config_yaml(&stack, &[a], ROOM_FOR_THREE))
        .unwrap();
    let proxy = Proxy::start(stack.broker.address().to_owned()).await;
    stack.set_env("LONGSHORE_REDIS_URL", &proxy.url);
    let _worker = stack.worker().unwrap();
    eventually("the worker reads its queue", || async {
        let workers = stack.broker.workers().list().await?;
        anyhow::ensure!(!workers.is_empty());
        Ok(())
    })
    .await
    .unwrap();
    proxy.delay(Duration::from_secs(2));
    complete(&stack, 2, &job()).await;
    proxy.delay(Duration::ZERO);

    // It finds limits that workers have counted without it.
    let _scheduler = stack.scheduler().unwrap();
    eventually("both limits are introduced", || async {
        let records = stack.broker.limits().records().await?;
        anyhow::ensure!(records.len() == 2, "{records:?}");
        Ok(())
    })
    .await
    .unwrap();
    uses(&stack, "0.0805").await;
    // The third fits both, the fourth only the quota.
    complete(&stack, 1, &job()).await;
    is_refused(&stack, &stack.enqueue(&[job().to_string()]).await.unwrap()).await;
    check_books(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_other_calls_and_one_that_returns_are_corrected() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let budget = |scope: &str| {
        format!("budgets: [{{name: b, {scope}, limit_usd: 9, per: ever, kind: hard}}]")
    };
    let of_a = budget("scope: provider, of: a");
    configure(&stack, &of_a);
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    complete(&stack, 1, &to_platform("a")).await;
    complete(&stack, 2, &to_platform("b")).await;
    uses(&stack, "0.04025").await;

    let both = [&worker, &scheduler];
    reconfigure(&stack, &both, &budget("scope: overall")).await;
    uses(&stack, "0.12075").await;
    complete(&stack, 1, &to_platform("b")).await;
    uses(&stack, "0.161").await;

    reconfigure(&stack, &both, &of_a).await;
    uses(&stack, "0.04025").await;

    reconfigure(&stack, &both, "").await;
    eventually("its end is noted", || async {
        let records = stack.broker.limits().records().await?;
        let ended = records
            .values()
            .all(|read| read.record.definition().is_none());
        anyhow::ensure!(ended, "{records:?}");
        Ok(())
    })
    .await
    .unwrap();
    complete(&stack, 1, &to_platform("a")).await;
    reconfigure(&stack, &both, &of_a).await;
    uses(&stack, "0.0805").await;
    check_books(&stack).await;
}

/// A worker without a scheduler counts the calls of `a`, and then, if told, those of all; the first scheduler finds the
/// second configuration.
async fn is_changed_before_the_first_scheduler(counts_both: bool) {
    let stack = Stack::start(Options::default()).await.unwrap();
    let budget = |scope: &str| {
        format!("budgets: [{{name: b, {scope}, limit_usd: 9, per: ever, kind: hard}}]")
    };
    configure(&stack, &budget("scope: provider, of: a"));
    let worker = stack.worker().unwrap();
    complete(&stack, 1, &to_platform("a")).await;
    complete(&stack, 2, &to_platform("b")).await;
    let overall = budget("scope: overall");
    reconfigure(&stack, &[&worker], &overall).await;
    if counts_both {
        complete(&stack, 1, &to_platform("b")).await;
    }
    let _scheduler = stack.scheduler().unwrap();
    uses(&stack, if counts_both { "0.161" } else { "0.12075" }).await;
    eventually("the budget is exact", || async {
        let records = stack.broker.limits().records().await?;
        anyhow::ensure!(records.values().any(|read| read.record.is_exact));
        Ok(())
    })
    .await
    .unwrap();
    complete(&stack, 1, &to_platform("a")).await;
    uses(&stack, if counts_both { "0.20125" } else { "0.161" }).await;
    check_books(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_changed_before_the_first_scheduler_counts_anew() {
    is_changed_before_the_first_scheduler(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_counted_two_things_before_the_first_scheduler_counts_anew() {
    is_changed_before_the_first_scheduler(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_and_budgets_of_each_tenant_start_from_the_ledger() {
    let stack = Stack::start(Options::default()).await.unwrap();
    configure(&stack, "");
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    let of = |tenant: &str| {
        let mut job = job();
        job["tenant"] = json!(tenant);
        job
    };
    complete(&stack, 2, &of("acme")).await;
    complete(&stack, 1, &of("other")).await;
    let limit = "budgets: [{name: b, scope: tenant, limit_usd: 0.09, per: ever, kind: hard, at_limit: dead_letter}]";
    reconfigure(&stack, &[&worker, &scheduler], limit).await;
    let ids: Vec<JobId> = stack
        .enqueue(&[of("acme").to_string(), of("other").to_string()])
        .await
        .unwrap();
    let ends = stack.outcomes(&ids).await.unwrap();
    let states: Vec<JobState> = ends.iter().map(|end| end.state).collect();
    assert_eq!(states, [JobState::Discarded, JobState::Completed]);
    check_books(&stack).await;
}
