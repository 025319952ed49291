//! `longshore models`: the catalog. Needs neither Redis nor Postgres.

mod cheapest;
mod import;
mod list;
mod price;
mod wanted;

use clap::Subcommand;

use crate::{
    error::{CommandError, Exit},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the available models, cheapest first
    List(list::Arguments),
    /// Find the cheapest model with a capability or tier
    Cheapest(cheapest::Arguments),
    /// Convert LiteLLM's price file into models for longshore.yaml
    Import(import::Arguments),
}

pub(crate) fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let catalog = &session.config.catalog;
    match arguments.action {
        Action::List(arguments) => list::run(&arguments, catalog),
        Action::Cheapest(arguments) => Ok(cheapest::run(&arguments, catalog)),
        Action::Import(arguments) => import::run(&arguments, catalog),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use longshore_config::Config;
    use longshore_policy::catalog::Catalog;
    use longshore_settings::Environment;

    /// The built-in catalog with three platforms enabled.
    pub(super) fn catalog() -> Catalog {
        let keys = ["OPENAI_API_KEY", "XAI_API_KEY", "GOOGLE_API_KEY"];
        let env = Environment::from_pairs(keys.map(|name| (name, "secret")));
        let yaml = "models: [{ provider: openai, model: gpt-unknown }]";
        Config::from_yaml(&env, Path::new("longshore.yaml"), yaml)
            .unwrap()
            .catalog
    }
}
