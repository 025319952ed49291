//! Filters for models.

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
        help = "Only with this capability: code, analysis, planning, review, complex_reasoning, docs, simple_tasks, tools, json_schema, reasoning, vision, files, audio; repeat to require several"
    )]
    pub(super) capabilities: Vec<Capability>,
    /// Only models of this tier: fast, standard or advanced
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
    /// The matching models, cheapest on `day` first. With `all`, also withdrawn models and models of disabled
    /// platforms.
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
                let is_enabled = provider.is_some_and(ProviderEntry::is_on);
                all || (is_enabled && !entry.is_withdrawn(day))
            })
            .collect();
        cheapest(&mut models, day);
        models
    }

    /// The kind of model as text: `advanced planning model`.
    pub(super) fn kind(&self) -> String {
        let tier = self.tier.map(Tier::as_str);
        let capabilities = self.capabilities.iter().map(|one| one.as_str());
        let parts: Vec<&str> = tier
            .into_iter()
            .chain(capabilities)
            .chain(["model"])
            .collect();
        parts.join(" ").replace('_', " ")
    }

    /// The message if no enabled platform has such a model.
    pub(super) fn describe_none(&self, catalog: &Catalog) -> String {
        let kind = self.kind();
        if catalog.enabled().next().is_none() {
            return format!(
                "No {kind}, because no platform is enabled: `longshore doctor` suggests fixes, and \
                 `longshore models list --all` shows the whole catalog."
            );
        }
        format!(
            "No {kind} on the enabled platforms: `longshore models list --all` shows the whole catalog."
        )
    }
}
