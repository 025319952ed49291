//! The reference of metrics in the documents.

use std::collections::BTreeSet;

use super::*;

/// The table of `docs/METRICS.md`.
fn table() -> String {
    let row = |metric: &Metric| {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        format!(
            "| `{}` | {} | {} | {} | {} |\n",
            metric.name,
            metric.kind.as_str(),
            labels.join(", "),
            metric.process.as_str(),
            metric.help
        )
    };
    let rows: String = ALL.iter().map(row).collect();
    format!("| metric | type | labels | of | what |\n|---|---|---|---|---|\n{rows}")
}

/// Compares the table with the document, or writes it if `LONGSHORE_UPDATE_DOCS` is set.
#[test]
fn the_table_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/METRICS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- metrics -->\n", "<!-- end -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let new = format!("{before}{begin}{}{end}{after}", table());
    if std::env::var_os("LONGSHORE_UPDATE_DOCS").is_some() {
        std::fs::write(path, &new).unwrap();
        return;
    }
    assert!(text == new, "docs/METRICS.md is stale: run `make docs`");
}

/// The rules of Prometheus' own check, which `promtool check metrics` applies to a running process.
#[test]
fn names_follow_the_conventions_of_prometheus() {
    let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len(), "a name stands twice");
    for Metric {
        name, kind, help, ..
    } in ALL
    {
        assert!(name.starts_with("longshore_"), "{name}");
        assert!(help.ends_with('.'), "{name}: {help}");
        assert_eq!(
            name.ends_with("_total"),
            *kind == MetricKind::Counter,
            "{name}"
        );
        assert!(
            *kind != MetricKind::Histogram || name.ends_with("_seconds"),
            "{name}"
        );
    }
}
