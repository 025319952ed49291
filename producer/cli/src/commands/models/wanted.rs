//! Which models are wanted.

use chrono::NaiveDate;
use longshore_policy::catalog::{Catalog, ModelEntry, ProviderEntry, cheapest};
use longshore_protocol::platform::{Capability, Tier};

use crate::options;

#[derive(Debug, Default, clap::Args)]
pub(super) struct Wanted {
    #[arg(
        long = "capability",
        value_name = "CAPABILITY",
        value_parser = capability,
        help = "Only with this capability: code, analysis, planning, review, complex_reasoning, docs, simple_tasks, tools, json_schema; repeat to require several"
    )]
    pub(super) capabilities: Vec<Capability>,
    /// Only of this tier: fast, standard or advanced
    #[arg(long, value_parser = tier)]
    pub(super) tier: Option<Tier>,
}

fn capability(word: &str) -> Result<Capability, String> {
    options::word(Capability::ALL, Capability::as_str, word)
}

fn tier(word: &str) -> Result<Tier, String> {
    options::word(Tier::ALL, Tier::as_str, word)
}

impl Wanted {
    /// The models that fit, the cheapest of the day first; with `all` also those that are withdrawn by then and
    /// those of platforms that are off.
    pub(super) fn models<'a>(
        &self,
        catalog: &'a Catalog,
        all: bool,
        day: NaiveDate,
    ) -> Vec<&'a ModelEntry> {
        let mut models: Vec<&ModelEntry> = catalog
            .models
            .iter()
            .filter(|entry| self.tier.is_none_or(|tier| entry.tier == tier))
            .filter(|entry| {
                let can = |capability| entry.capabilities.contains(capability);
                self.capabilities.iter().all(can)
            })
            .filter(|entry| {
                let provider = catalog.platform(entry.provider.as_str());
                let is_open = provider.is_some_and(ProviderEntry::is_on);
                all || (is_open && !entry.is_withdrawn(day))
            })
            .collect();
        cheapest(&mut models, day);
        models
    }

    /// The kind of model in words: `advanced planning model`.
    pub(super) fn kind(&self) -> String {
        let tier = self.tier.map(Tier::as_str);
        let capabilities = self.capabilities.iter().map(|one| one.as_str());
        let words: Vec<&str> = tier
            .into_iter()
            .chain(capabilities)
            .chain(["model"])
            .collect();
        words.join(" ").replace('_', " ")
    }

    /// The text when no platform that is on has such a model.
    pub(super) fn describe_none(&self, catalog: &Catalog) -> String {
        let kind = self.kind();
        if catalog.enabled().next().is_none() {
            return format!(
                "No {kind}, because no platform is on: `longshore doctor` tells what to do, and \
                 `longshore models list --all` shows the whole catalog."
            );
        }
        format!(
            "No {kind} at the platforms that are on: `longshore models list --all` shows the whole catalog."
        )
    }
}
