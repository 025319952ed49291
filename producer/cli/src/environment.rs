//! The environment of a command.

use std::{path::Path, sync::Once};

use longshore_config::Config;
use longshore_settings::{ConfigError, Environment};
use secrecy::ExposeSecret as _;

use crate::{commands::running_stack, output};

/// The directory of `longshore dev`, unless the user names another.
pub(crate) const DEV_DIRECTORY: &str = ".longshore";

/// A command may read the environment more than once.
static NOTED: Once = Once::new();

/// The settings that name the servers.
const SERVERS: [&str; 2] = ["redis_url", "database_url"];

/// The variables of this process and of `.env`. If neither they nor the configuration name a Redis or a Postgres, those
/// of the `longshore dev` that runs in this directory.
pub(crate) fn read() -> Result<Environment, ConfigError> {
    let own = Environment::read()?;
    let Some(stack) = running_stack(Path::new(DEV_DIRECTORY))? else {
        return Ok(own);
    };
    // Whoever loads an invalid configuration reports it.
    let Ok(config) = Config::load(&own) else {
        return Ok(own);
    };
    let Some(origin) = SERVERS.iter().find_map(|name| config.origins.get(*name)) else {
        return Ok(with_stack(own, &stack));
    };
    if stack.get("REDIS_URL") != Some(config.redis_url.text().expose_secret()) {
        NOTED.call_once(|| {
            output::note(format_args!(
                "Note: `longshore dev` runs in {DEV_DIRECTORY}, but {origin} names another server, which this command uses."
            ));
        });
    }
    Ok(own)
}

/// The variables of a stack behind those of the environment.
fn with_stack(own: Environment, stack: &Environment) -> Environment {
    stack.names().fold(own, |environment, name| {
        let value = stack.get(name).unwrap_or_default();
        if environment.get(name).is_some() {
            environment
        } else {
            environment.with(name, value)
        }
    })
}
