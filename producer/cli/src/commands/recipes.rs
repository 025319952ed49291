//! `longshore recipes`: the recipes of the configuration. Needs neither Redis nor Postgres.

mod explain;
mod list;
mod show;

use clap::Subcommand;
use longshore_protocol::recipe::{BadRecipeName, RecipeName};

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
    /// List the recipes
    List(list::Arguments),
    /// Show the parameters and the steps of a recipe
    Show(show::Arguments),
    /// Show which models a recipe would ask, and at what cost at most, without asking anyone
    Explain(explain::Arguments),
}

pub(crate) fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let config = &session.config;
    match arguments.action {
        Action::List(arguments) => Ok(list::run(&arguments, &config.recipes)),
        Action::Show(arguments) => show::run(&arguments, config),
        Action::Explain(arguments) => explain::run(&arguments, config),
    }
}

/// Parses a recipe's name.
fn recipe_name(text: &str) -> Result<RecipeName, BadRecipeName> {
    RecipeName::parse(text)
}
