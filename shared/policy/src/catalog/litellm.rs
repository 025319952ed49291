//! Reads the price file that LiteLLM publishes as `model_prices_and_context_window.json`.
//!
//! Its prices are US dollars per token, as floating-point numbers. They are parsed from their text into
//! decimals per million tokens; digits beyond nine decimals, which floating point leaves over, are
//! rounded off.

use std::collections::BTreeMap;

use entry::{Entry, Skipped};
use longshore_protocol::platform::PlatformName;
use serde_json::value::RawValue;

use super::{Catalog, models::ModelLayer};

pub(super) use entry::NO_PRICE;

mod entry;
mod fragment;

/// The result of reading a price file.
#[derive(Debug, Default)]
pub struct PriceImport {
    pub parts: Vec<ModelLayer>,
    /// Chat models of providers that are not in the catalog or were not requested.
    pub other_providers: usize,
    /// Entries that are not chat models, such as embeddings and images.
    pub other_kinds: usize,
    /// Models that the file has under two names; the one with the provider's prefix counts.
    pub repeated: usize,
    /// Models with a price of more than nine decimals per million tokens.
    pub rounded: usize,
    /// Chat models that cannot be read.
    pub unread: Vec<UnreadModel>,
}

/// A model that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadModel {
    /// Its name in the file.
    pub name: String,
    /// The reason.
    pub why: &'static str,
}

/// A file in another format.
#[derive(Debug, thiserror::Error)]
#[error("expected a JSON object of models by name, as LiteLLM publishes it: {0}")]
pub struct NotAPriceFile(#[from] serde_json::Error);

impl PriceImport {
    /// Reads the models of the catalog's platforms, or only of those in `only` unless it is empty.
    pub fn read(
        text: &str,
        catalog: &Catalog,
        only: &[PlatformName],
    ) -> Result<Self, NotAPriceFile> {
        read(text, |name| {
            let platform = &catalog.platform(name)?.name;
            (only.is_empty() || only.contains(platform)).then(|| platform.clone())
        })
    }

    /// The number of models by platform.
    pub fn by_platform(&self) -> BTreeMap<&PlatformName, usize> {
        let mut counts = BTreeMap::new();
        for part in &self.parts {
            *counts.entry(&part.provider).or_default() += 1;
        }
        counts
    }

    /// The models as YAML for `model_files`, without tier, and without the capabilities of models that
    /// the catalog already has.
    pub fn to_yaml(&self, catalog: &Catalog) -> Result<String, serde_saphyr::ser_error::Error> {
        fragment::write(&self.parts, catalog)
    }
}

/// Reads the models of the platforms that `platform` resolves.
pub(super) fn read(
    text: &str,
    platform: impl Fn(&str) -> Option<PlatformName>,
) -> Result<PriceImport, NotAPriceFile> {
    let file: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
    let mut import = PriceImport::default();
    // By model: whether its name in the file has the provider's prefix, and the entry.
    let mut found: BTreeMap<(PlatformName, String), (bool, Entry)> = BTreeMap::new();
    for (name, value) in file {
        match entry::read(&name, value, &platform) {
            Err(Skipped::Kind) => import.other_kinds += 1,
            Err(Skipped::Provider) => import.other_providers += 1,
            Err(Skipped::Unreadable(why)) => import.unread.push(UnreadModel { name, why }),
            Ok(entry) => {
                let key = (entry.part.provider.clone(), entry.part.model.clone());
                let prefixed = name != entry.part.model;
                match found.get(&key) {
                    None => {
                        found.insert(key, (prefixed, entry));
                    }
                    Some((before, _)) => {
                        import.repeated += 1;
                        if prefixed && !before {
                            found.insert(key, (prefixed, entry));
                        }
                    }
                }
            }
        }
    }
    for (_, entry) in found.into_values() {
        import.rounded += usize::from(entry.rounded);
        import.parts.push(entry.part);
    }
    Ok(import)
}
