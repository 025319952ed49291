//! A counter of dollars. The recorder of `metrics` counts whole numbers alone, and sums of floats lose fractions of a
//! cent, so this one keeps decimal sums and renders them itself.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use longshore_protocol::money::Usd;

use super::{COST, Metric, MetricKind, by_labels::ByLabels};

/// A counter of dollars with `N` labels.
#[derive(Debug)]
pub struct Dollars<const N: usize> {
    metric: Metric,
    sums: Mutex<ByLabels<Usd, N>>,
}

impl<const N: usize> Dollars<N> {
    pub(super) const KIND: MetricKind = MetricKind::Counter;

    pub(super) const fn new(metric: Metric) -> Self {
        Self {
            metric,
            sums: Mutex::new(ByLabels::new()),
        }
    }

    /// Adds an amount; `values` are those of the labels, in order.
    pub fn add(&self, values: [&str; N], amount: Usd) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        match sums.get_mut(values) {
            Some(sum) => *sum = *sum + amount,
            None => sums.insert(values, amount),
        }
    }

    fn render(&self) -> String {
        let Metric {
            name, labels, help, ..
        } = self.metric;
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (values, sum) in sums.iter() {
            if text.is_empty() {
                text = format!("# HELP {name} {help}\n# TYPE {name} counter\n");
            }
            let pairs = labels.iter().zip(values);
            let pairs: Vec<String> = pairs
                .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
                .collect();
            let _written = writeln!(text, "{name}{{{}}} {sum}", pairs.join(","));
        }
        text
    }
}

/// A label's value as the text format of Prometheus has it.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The counters of dollars in the text format of Prometheus.
pub(crate) fn render_dollars() -> String {
    COST.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact_and_labels_escaped() {
        let spent = Dollars::new(COST.metric);
        let cents: Usd = "0.000000003".parse().unwrap();
        for _ in 0..3 {
            spent.add(["openai", "a\"b\\c\nd"], cents);
        }
        spent.add(["gemini", "x"], "12.5".parse().unwrap());
        insta::assert_snapshot!(spent.render(), @r#"
        # HELP longshore_cost_usd_total Dollars that attempts cost, as far as their cost is known.
        # TYPE longshore_cost_usd_total counter
        longshore_cost_usd_total{platform="gemini",model="x"} 12.5
        longshore_cost_usd_total{platform="openai",model="a\"b\\c\nd"} 0.000000009
        "#);
    }
}
