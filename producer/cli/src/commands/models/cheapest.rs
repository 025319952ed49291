//! `longshore models cheapest`.

use chrono::NaiveDate;
use longshore_policy::catalog::{Catalog, ModelEntry};
use longshore_protocol::clock::local_time;

use super::{price::per_thousand, wanted::Wanted};
use crate::{error::Exit, output};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
}

/// Exit code 1 if there is no such model.
pub(super) fn run(arguments: &Arguments, catalog: &Catalog) -> Exit {
    let today = local_time().date_naive();
    let wanted = &arguments.wanted;
    if let Some(entry) = wanted.models(catalog, false, today).first() {
        output::line(describe_cheapest(wanted, entry, today));
        Exit::Success
    } else {
        output::note(wanted.describe_none(catalog));
        Exit::Failure
    }
}

fn describe_cheapest(wanted: &Wanted, entry: &ModelEntry, day: NaiveDate) -> String {
    let rates = &entry.prices.at(day).rates;
    format!(
        "Cheapest {}: {}/{} at {}/1K in, {}/1K out",
        wanted.kind(),
        entry.provider,
        entry.model,
        per_thousand(rates.input),
        per_thousand(rates.output)
    )
}

#[cfg(test)]
mod tests {
    use longshore_protocol::platform::{Capability, Tier};

    use super::super::tests::catalog;
    use super::*;

    fn cheapest(capabilities: &[Capability], tier: Option<Tier>) -> String {
        let wanted = Wanted {
            capabilities: capabilities.to_vec(),
            tier,
        };
        let catalog = catalog();
        let day = "2026-11-21".parse().unwrap();
        match wanted.models(&catalog, false, day).first() {
            Some(entry) => describe_cheapest(&wanted, entry, day),
            None => wanted.describe_none(&catalog),
        }
    }

    #[test]
    fn the_cheapest_is_named_with_its_price() {
        let lines = [
            cheapest(&[], None),
            cheapest(&[Capability::Planning], None),
            cheapest(
                &[Capability::ComplexReasoning, Capability::Tools],
                Some(Tier::Advanced),
            ),
            cheapest(&[Capability::SimpleTasks], Some(Tier::Advanced)),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        Cheapest model: openai/gpt-5-nano at $0.000050/1K in, $0.000400/1K out
        Cheapest planning model: xai/grok-4.3 at $0.001250/1K in, $0.002500/1K out
        Cheapest advanced complex reasoning tools model: xai/grok-4.7 at $0.002000/1K in, $0.006000/1K out
        No advanced simple tasks model on the enabled platforms: `longshore models list --all` shows the whole catalog.
        ");
    }

    #[test]
    fn without_an_enabled_platform_the_reason_is_given() {
        insta::assert_snapshot!(Wanted::default().describe_none(&Catalog::default()), @"No model, because no platform is enabled: `longshore doctor` suggests fixes, and `longshore models list --all` shows the whole catalog.");
    }
}
