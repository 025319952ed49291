use insta::assert_snapshot;
use longshore_client::Job;
use longshore_protocol::clock::local_time;

use super::*;
use crate::render::limit::fixtures::{config, meter_report};

const FILE: &str = r#"
providers:
  gemini: { billing: free, limits: { requests_per_day: 1500, requests_per_minute: 5 } }
  openai: { limits: { usd_per_month: "100" } }
budgets:
  - { name: day, scope: overall, limit_usd: "1", per: day, at_limit: dead_letter }
  - { name: team, scope: tenant, limit_usd: "0.5", per: ever }
  - { name: soft, scope: overall, limit_usd: "0.1", per: day, kind: soft }
  - { name: chains, scope: chain, limit_usd: "0.2", per: ever, at_limit: free }
"#;

fn forecast(jobs: &[Job], config: &Config, now: DateTime<Utc>) -> Forecast {
    let lengths = [("gpt-4o", "research", 100)].map(|(model, task_type, tokens)| AnswerLength {
        model: model.to_owned(),
        task_type: task_type.to_owned(),
        tokens,
    });
    let batch = ChainId::parse("b").unwrap();
    let mut forecast = Forecast::new(config, now, batch);
    forecast.lengths = lengths.into_iter().collect();
    for job in jobs {
        forecast.add(&job.check(&config.limits).unwrap());
    }
    forecast
}

/// The warnings for a batch, with these figures of meters (used, held, waiting).
fn warnings(file: &str, jobs: &[Job], figures: &[(&str, (u64, u64, u64))], alert: u8) -> String {
    let now = "2026-02-01T12:00:00Z".parse().unwrap();
    let forecast = forecast(jobs, &config(file), now);
    let reports: Vec<MeterReport> = forecast
        .amounts()
        .iter()
        .map(|take| meter_report(take, figures))
        .collect();
    forecast.warnings(&reports, alert).join("\n")
}

fn tasks(count: usize, task: &Job) -> Vec<Job> {
    vec![task.clone(); count]
}

#[test]
fn a_batch_that_reaches_the_highest_alert_warns() {
    let gemini = Job::prompt("Hi").platform("gemini");
    let used = [("rpd:gemini", (1_300, 5, 0))];
    assert_eq!(warnings(FILE, &tasks(44, &gemini), &used, 90), "");
    assert_snapshot!(warnings(FILE, &tasks(90, &gemini), &used, 90), @"gemini quota at 93% (1395/1500) after this batch.");
    assert_snapshot!(warnings(FILE, &tasks(400, &gemini), &used, 90), @"gemini quota at 113% (1705/1500) after this batch; tasks over the limit wait until 2026-02-02 00:00 UTC.");
    assert_eq!(warnings(FILE, &tasks(90, &gemini), &used, 95), "");
}

#[test]
fn dollars_are_estimated_from_the_prompt_and_a_typical_answer() {
    // 1,000 answer tokens of gpt-4o at $10 per million; the prompt costs almost nothing.
    let task = Job::prompt("Hi").model("openai/gpt-4o");
    assert_eq!(warnings(FILE, &tasks(8, &task), &[], 90), "");
    let own = task.clone().with("tenant", "acme").chain_id("nightly");
    assert_snapshot!(warnings(FILE, &tasks(120, &own), &[], 90), @r#"
    the budget soft at 1201% ($1.20/$0.10) after this batch.
    the budget chains of nightly at 600% ($1.20/$0.20) after this batch; tasks over the limit go to free models.
    the budget team of acme at 240% ($1.20/$0.50) after this batch; tasks over the limit wait until it is raised.
    the budget day at 120% ($1.20/$1) after this batch; tasks over the limit become dead letters.
    For 120 of 120 tasks, the ledger has too few similar answers; each counts as 1,000 tokens.
    "#);
    let short = task.max_tokens(10);
    assert_eq!(warnings(FILE, &tasks(500, &short), &[], 90), "");
}

#[test]
fn dollars_are_estimated_from_the_length_of_earlier_answers() {
    // 100 answer tokens of gpt-4o at $10 per million: a tenth of what is assumed without history.
    let task = Job::prompt("Hi").model("openai/gpt-4o");
    let known = task.clone().task_type("research");
    let tasks = [tasks(1_000, &known), tasks(1, &task)].concat();
    assert_snapshot!(warnings(FILE, &tasks, &[], 90), @"
    the budget soft at 1025% ($1.03/$0.10) after this batch.
    the budget chains of b at 512% ($1.03/$0.20) after this batch; tasks over the limit go to free models.
    the budget day at 102% ($1.03/$1) after this batch; tasks over the limit become dead letters.
    For 1 of 1,001 tasks, the ledger has too few similar answers; each counts as 1,000 tokens.
    ");
    // A limit of the job's own is the most that is expected.
    let short = known.max_tokens(10);
    assert_eq!(warnings(FILE, &vec![short; 500], &[], 90), "");
}

#[test]
fn without_limits_nothing_is_estimated() {
    let forecast = forecast(&tasks(3, &Job::prompt("Hi")), &config(""), local_time());
    assert!(forecast.amounts().is_empty());
}

#[test]
fn tasks_without_a_candidate_count_nowhere() {
    let lost = Job::prompt("Hi").model("gpt-9000");
    assert_eq!(warnings(FILE, &tasks(2_000, &lost), &[], 90), "");
}

#[test]
fn many_warnings_are_cut_short() {
    let jobs: Vec<Job> = (0..12)
        .flat_map(|tenant| {
            let task = Job::prompt("Hi").model("openai/gpt-4o");
            tasks(60, &task.with("tenant", format!("t{tenant}")))
        })
        .collect();
    let text = warnings(FILE, &jobs, &[], 90);
    assert_eq!(text.lines().count(), 12, "{text}");
    assert!(text.contains("\n… and 5 more limits.\n"), "{text}");
}
