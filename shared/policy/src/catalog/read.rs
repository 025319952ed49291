//! Builds the catalog from the built-in one, the user's files and the environment.

use std::path::Path;

use longshore_settings::{Entries, Reader, Text};
use url::Url;

use super::{
    Catalog, ProviderEntry, RawModel, RawProvider, UnknownPrice, files, models,
    providers::{self, Around},
    raw::RawCatalog,
};
use crate::limits::share_accounts;

/// `catalog.yaml` as JSON: every command reads it when it starts.
const BUILT_IN: &str = include_str!("../catalog.json");

/// The catalog settings of the user's file.
#[derive(Debug)]
pub struct CatalogSettings {
    pub providers: Entries<Option<RawProvider>>,
    pub models: Vec<RawModel>,
    pub model_files: Vec<Text>,
    pub unknown_price: UnknownPrice,
    /// `cli_tools`, or its default.
    pub tools: Vec<String>,
}

impl Catalog {
    /// Overrides the built-in catalog by the user's model files, providers and models, in this order.
    pub fn read(r: &mut Reader<'_>, written: CatalogSettings, simulator: Option<&Url>) -> Self {
        let built_in: RawCatalog = r
            .parse_json(Path::new("built-in catalog"), BUILT_IN)
            .unwrap_or_default();
        let named = providers::merge(r, built_in.providers.unwrap_or_default(), written.providers);
        let names: Vec<&str> = named
            .iter()
            .map(|provider| provider.name.as_str())
            .collect();
        let mut merged = models::shipped(r, &names, &built_in.models.unwrap_or_default());
        for file in &written.model_files {
            let layer = files::parts(r, &names, file);
            models::lay(&mut merged, layer);
        }
        models::lay(&mut merged, providers::default_models(r, &named));
        let layer = models::parts(r, &names, &written.models);
        models::lay(&mut merged, layer);

        let around = Around {
            names: &names,
            models: &merged,
            tools: &written.tools,
        };
        let mut providers: Vec<ProviderEntry> = named
            .iter()
            .filter_map(|named| {
                let provider = providers::understand(r, named, &around)?;
                Some(match simulator {
                    Some(simulator) => providers::simulated(named, provider, simulator),
                    None => provider,
                })
            })
            .collect();
        share_accounts(r, &mut providers, |name| {
            let named = named.iter().find(|named| named.name == name.as_str())?;
            named.raw.limits.as_ref()
        });
        let mut catalog = Self {
            providers,
            ..Self::default()
        };
        for part in merged {
            models::add(r, &mut catalog, part, written.unknown_price);
        }
        catalog
    }
}

#[cfg(test)]
mod reference {
    use longshore_settings::{Booleans, yaml::load};

    use super::*;

    /// Compares `catalog.json` with `catalog.yaml`, or writes it if `LONGSHORE_UPDATE_DOCS` is set.
    #[test]
    fn the_json_is_that_of_the_yaml() {
        let yaml = include_str!("../catalog.yaml");
        let node = load(Path::new("catalog.yaml"), yaml, Booleans::Words).unwrap();
        let json = serde_json::to_string_pretty(&node).unwrap() + "\n";
        if std::env::var_os("LONGSHORE_UPDATE_DOCS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog.json");
            std::fs::write(path, json).unwrap();
            return;
        }
        assert!(json == BUILT_IN, "catalog.json is stale: run `make docs`");
    }
}
