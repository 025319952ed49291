use insta::assert_snapshot;
use longshore_client::{JobId, JobState};
use serde_json::json;

use super::*;
use crate::commands::batch::results::Results;

fn outcome(index: u32, platform: &str, cost: &str, error: Option<&str>) -> TaskResult {
    let outcome = json!({
        "id": format!("1795232878059-{index}"), "state": if error.is_some() { "discarded" } else { "completed" },
        "success": error.is_none(), "output": error.is_none().then_some("Analysis results..."),
        "error": error, "error_class": error.map(|_| "overloaded"), "platform": platform, "model": "m",
        "finish_reason": null, "attempts": 1, "input_tokens": 12, "output_tokens": 7, "cached_tokens": 0,
        "reasoning_tokens": 0, "cost_usd": cost, "duration_ms": 641, "queued_ms": 2, "metadata": {"asset_id": index},
    });
    TaskResult {
        index,
        outcome: serde_json::from_value(outcome).unwrap(),
    }
}

/// The report of results that came in the opposite order.
fn report(results: &[TaskResult]) -> Report {
    let (mut sums, mut kept) = (Sums::default(), Results::new().unwrap());
    for result in results.iter().rev() {
        sums.add(result);
        kept.push(result).unwrap();
    }
    let id = ChainId::parse("batch_1").unwrap();
    Report::new(
        id,
        ChainState::Completed,
        sums,
        Some(kept.finish().unwrap()),
        Duration::from_millis(12_340),
    )
}

#[test]
fn the_text_has_the_totals() {
    let report = report(&[
        outcome(0, "gemini", "0", None),
        outcome(1, "chatgpt", "0.0045", None),
        outcome(2, "gemini", "0", None),
    ]);
    assert_snapshot!(report.to_text(Some(Path::new("results/batch_20260201.json"))), @"

    === Batch Complete ===
    Total: 3 tasks
    Success: 3
    Failed: 0
    Success Rate: 100.0%
    Total Cost: $0.0045
    Total Duration: 12.34s

    By Platform:
      gemini: 2/2 success, $0.0000
      chatgpt: 1/1 success, $0.0045

    Results saved to: results/batch_20260201.json
    ");
}

#[test]
fn the_text_lists_the_first_failures() {
    let mut results = vec![outcome(0, "gemini", "0.000000006", None)];
    results.extend((1..12).map(|index| {
        outcome(
            index,
            "gemini",
            "0",
            Some("All platforms failed.\nTried: gemini"),
        )
    }));
    results.push(TaskResult::without_outcome(
        12,
        JobId::parse("inv-1").unwrap(),
        JobState::Discarded,
        "id_conflict",
        "taken".to_owned(),
    ));
    assert_snapshot!(report(&results).to_text(None), @"

    === Batch Complete ===
    Total: 13 tasks
    Success: 1
    Failed: 12
    Success Rate: 7.7%
    Total Cost: $0.000000006
    Total Duration: 12.34s

    By Platform:
      gemini: 1/12 success, $0.000000006
      (none): 0/1 success, $0.0000

    Failed Tasks:
      task 2 (index 1), 1795232878059-1: All platforms failed. Tried: gemini
      task 3 (index 2), 1795232878059-2: All platforms failed. Tried: gemini
      task 4 (index 3), 1795232878059-3: All platforms failed. Tried: gemini
      task 5 (index 4), 1795232878059-4: All platforms failed. Tried: gemini
      task 6 (index 5), 1795232878059-5: All platforms failed. Tried: gemini
      task 7 (index 6), 1795232878059-6: All platforms failed. Tried: gemini
      task 8 (index 7), 1795232878059-7: All platforms failed. Tried: gemini
      task 9 (index 8), 1795232878059-8: All platforms failed. Tried: gemini
      task 10 (index 9), 1795232878059-9: All platforms failed. Tried: gemini
      task 11 (index 10), 1795232878059-10: All platforms failed. Tried: gemini
      … and 2 more
    ");
}

#[test]
fn the_document_has_every_result() {
    let report = report(&[
        outcome(0, "gemini", "0.1", None),
        outcome(1, "gemini", "0.2", Some("no")),
    ]);
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "id": "batch_1",
      "state": "completed",
      "total_tasks": 2,
      "success_count": 1,
      "failure_count": 1,
      "success_rate": 0.5,
      "cost_usd": "0.3",
      "duration_ms": 12340,
      "total_cost": 0.3,
      "total_duration": 12.34,
      "chain_id": "batch_1",
      "results": [
        {
          "index": 0,
          "id": "1795232878059-0",
          "state": "completed",
          "success": true,
          "output": "Analysis results...",
          "error": null,
          "error_class": null,
          "platform": "gemini",
          "model": "m",
          "finish_reason": null,
          "attempts": 1,
          "input_tokens": 12,
          "output_tokens": 7,
          "cached_tokens": 0,
          "reasoning_tokens": 0,
          "cost_usd": "0.1",
          "duration_ms": 641,
          "queued_ms": 2,
          "metadata": {
            "asset_id": 0
          },
          "task_id": "1795232878059-0",
          "cost": 0.1,
          "duration": 0.641
        },
        {
          "index": 1,
          "id": "1795232878059-1",
          "state": "discarded",
          "success": false,
          "output": null,
          "error": "no",
          "error_class": "overloaded",
          "platform": "gemini",
          "model": "m",
          "finish_reason": null,
          "attempts": 1,
          "input_tokens": 12,
          "output_tokens": 7,
          "cached_tokens": 0,
          "reasoning_tokens": 0,
          "cost_usd": "0.2",
          "duration_ms": 641,
          "queued_ms": 2,
          "metadata": {
            "asset_id": 1
          },
          "task_id": "1795232878059-1",
          "cost": 0.2,
          "duration": 0.641
        }
      ]
    }
    "#);
}

#[test]
fn the_success_rate_is_100_only_without_failures() {
    let mut results: Vec<_> = (0..2999)
        .map(|index| outcome(index, "gemini", "0", None))
        .collect();
    results.push(outcome(2999, "gemini", "0", Some("no")));
    assert!(
        report(&results)
            .to_text(None)
            .contains("Success Rate: 99.9%")
    );
}
