//! The providers that are on, ready to be called.

use std::{collections::HashMap, sync::Arc};

use longshore_policy::catalog::{Catalog, DialectName, ProviderEntry};
use longshore_protocol::platform::PlatformName;
use reqwest::Client;

use crate::provider::{
    Anthropic, CliProvider, Dialect, Gemini, HttpProvider, Ollama, OpenAi, Paced, Provider, Service,
};

/// The providers that are on, by name.
#[derive(Clone)]
pub struct Registry {
    providers: HashMap<PlatformName, Arc<dyn Provider>>,
}

impl Registry {
    /// Every provider of the catalog that is on: over HTTP, but for command-line tools.
    pub fn over_http(catalog: &Catalog, client: &Client) -> Self {
        let providers = catalog
            .enabled()
            .map(|entry| (entry.name.clone(), paced(entry, reached(entry, client))))
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

fn reached(entry: &ProviderEntry, client: &Client) -> Arc<dyn Provider> {
    let dialect: Arc<dyn Dialect> = match entry.dialect {
        DialectName::OpenAi => {
            let host = entry.base_url.host_str();
            Arc::new(OpenAi(Service::of(entry.name.as_str(), host)))
        }
        DialectName::Anthropic => Arc::new(Anthropic),
        DialectName::Gemini => Arc::new(Gemini),
        DialectName::Ollama => Arc::new(Ollama),
        DialectName::Cli => return Arc::new(CliProvider::new(entry)),
    };
    Arc::new(HttpProvider::new(
        entry.name.to_string(),
        dialect,
        entry.base_url.clone(),
        entry.key.clone(),
        client.clone(),
    ))
}

fn paced(entry: &ProviderEntry, provider: Arc<dyn Provider>) -> Arc<dyn Provider> {
    match entry.pace {
        Some(pace) => Arc::new(Paced::new(provider, pace)),
        None => provider,
    }
}
