//! The enabled providers, ready to be called.

use std::{collections::HashMap, sync::Arc};

use longshore_policy::catalog::{Catalog, DialectName, ProviderEntry, Service};
use longshore_protocol::platform::PlatformName;
use reqwest::Client;

use super::{
    anthropic::Anthropic,
    cli::CliProvider,
    dialect::{Dialect, Provider},
    gemini::Gemini,
    http::HttpProvider,
    ollama::Ollama,
    openai::OpenAi,
    paced::Paced,
};

/// The enabled providers, by name.
#[derive(Clone)]
pub struct Registry {
    providers: HashMap<PlatformName, Arc<dyn Provider>>,
}

impl Registry {
    /// Every enabled provider of the catalog: over HTTP, or a command-line tool.
    pub fn over_http(catalog: &Catalog, client: &Client) -> Self {
        let providers = catalog
            .enabled()
            .map(|entry| {
                (
                    entry.name.clone(),
                    with_pace(entry, provider_for(entry, client)),
                )
            })
            .collect();
        Self { providers }
    }

    /// The same provider for every enabled platform, for programs that bring their own.
    pub fn with(catalog: &Catalog, provider: &Arc<dyn Provider>) -> Self {
        Self {
            providers: catalog
                .enabled()
                .map(|entry| (entry.name.clone(), provider.clone()))
                .collect(),
        }
    }

    /// The provider with this name, if it is enabled.
    pub fn get(&self, name: &PlatformName) -> Option<&Arc<dyn Provider>> {
        self.providers.get(name)
    }
}

fn provider_for(entry: &ProviderEntry, client: &Client) -> Arc<dyn Provider> {
    let dialect: Arc<dyn Dialect> = match entry.dialect {
        DialectName::OpenAi => Arc::new(OpenAi(Service::of(entry))),
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

fn with_pace(entry: &ProviderEntry, provider: Arc<dyn Provider>) -> Arc<dyn Provider> {
    match entry.pace {
        Some(pace) => Arc::new(Paced::new(provider, pace)),
        None => provider,
    }
}
