use insta::assert_snapshot;
use serde_json::json;

use super::*;

fn outcome(index: usize, platform: &str, cost: &str, error: Option<&str>) -> TaskResult {
    let outcome = json!({
        "id": format!("1795232878059-{index}"), "state": if error.is_some() { "discarded" } else { "completed" },
        "success": error.is_none(), "output": error.is_none().then_some("Analysis results..."),
        "error": error, "error_class": error.map(|_| "overloaded"), "platform": platform, "model": "m",
        "finish_reason": null, "attempts": 1, "input_tokens": 12, "output_tokens": 7, "cached_tokens": 0,
        "reasoning_tokens": 0, "cost_usd": cost, "duration_ms": 641, "queued_ms": 2, "metadata": {"asset_id": index},
    });
    TaskResult::of(index, serde_json::from_value(outcome).unwrap())
}

fn report(results: Vec<TaskResult>) -> Report {
    Report::of("batch_1".to_owned(), results, Duration::from_millis(12_340))
}

#[test]
fn people_read_the_sums() {
    let report = report(vec![
        outcome(0, "gemini", "0", None),
        outcome(1, "chatgpt", "0.0045", None),
        outcome(2, "gemini", "0", None),
    ]);
    assert_snapshot!(report.text(Some(Path::new("results/batch_20260201.json"))), @"");
}

#[test]
fn people_read_what_failed() {
    let mut results = vec![outcome(0, "gemini", "0.000000006", None)];
    results.extend((1..12).map(|index| outcome(index, "gemini", "0", Some("All platforms failed.\nTried: gemini"))));
    results.push(TaskResult::refused(12, &JobId::parse("inv-1").unwrap(), "taken".to_owned()));
    assert_snapshot!(report(results).text(None), @"");
}

#[test]
fn programs_read_every_result() {
    let report = report(vec![outcome(0, "gemini", "0.1", None), outcome(1, "gemini", "0.2", Some("no"))]);
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @"");
}

#[test]
fn a_rate_is_whole_only_when_nothing_failed() {
    let mut results: Vec<_> = (0..2999).map(|index| outcome(index, "gemini", "0", None)).collect();
    results.push(outcome(2999, "gemini", "0", Some("no")));
    assert!(report(results).text(None).contains("Success Rate: 99.9%"));
}
