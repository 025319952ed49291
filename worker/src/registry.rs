//! The providers that are on, ready to be called.

use std::{collections::HashMap, sync::Arc};

use longshore_shared::catalog::{Catalog, DialectName, PlatformName};

use crate::provider::{Anthropic, Dialect, Gemini, HttpProvider, OpenAi, Provider};

/// The providers that are on, by name.
#[derive(Clone)]
pub struct Registry {
    providers: HashMap<PlatformName, Arc<dyn Provider>>,
}

impl Registry {
    /// Every provider of the catalog that is on, over HTTP.
    pub fn over_http(catalog: &Catalog, client: &reqwest::Client) -> Self {
        let providers = catalog
            .enabled()
            .map(|entry| {
                let dialect: Arc<dyn Dialect> = match entry.dialect {
                    DialectName::OpenAi if entry.base_url.host_str() == Some("api.openai.com") => {
                        Arc::new(OpenAi::official())
                    }
                    DialectName::OpenAi => Arc::new(OpenAi::compatible()),
                    DialectName::Anthropic => Arc::new(Anthropic),
                    DialectName::Gemini => Arc::new(Gemini),
                };
                let provider = HttpProvider::new(
                    entry.name.to_string(),
                    dialect,
                    entry.base_url.clone(),
                    entry.key.clone(),
                    client.clone(),
                );
                (entry.name.clone(), Arc::new(provider) as Arc<dyn Provider>)
            })
            .collect();
        Self { providers }
    }

    /// One provider for every platform that is on: for programs that bring their own.
    pub fn with(catalog: &Catalog, provider: &Arc<dyn Provider>) -> Self {
        Self {
            providers: catalog
                .enabled()
                .map(|entry| (entry.name.clone(), provider.clone()))
                .collect(),
        }
    }

    /// The provider of this name, if it is on.
    pub fn get(&self, name: &PlatformName) -> Option<&Arc<dyn Provider>> {
        self.providers.get(name)
    }
}
