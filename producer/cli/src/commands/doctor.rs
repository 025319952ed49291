//! `longshore doctor`: checks the set-up, and says what to do about each problem.

mod checks;
mod postgres;
mod redis;

use longshore_config::Config;
use longshore_settings::{ConfigError, Environment};

use self::checks::{Check, Checkup};
use crate::{
    error::{CommandError, Exit},
    output::Format,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Exit code 1 if there is a problem.
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, CommandError> {
    let mut checkup = Checkup::default();
    let config = load_config(&mut checkup)?;
    let session = Session { config };
    let (redis, record) = tokio::join!(redis::check(&session), postgres::check(&session));
    checkup.add(redis.server);
    checkup.add(record.checks);
    checkup.add([providers_on(&session.config)]);
    checkup.add(providers_off(&session.config));
    checkup.add(redis.services);
    checkup.add(redis::event_checks(redis.facts, record.answers));
    arguments.format.print(&checkup);
    Ok(Exit::success_if(checkup.is_healthy()))
}

/// The configuration, or as much of it as can be read.
fn load_config(checkup: &mut Checkup) -> Result<Config, ConfigError> {
    let name = "configuration";
    let environment = Environment::read();
    let loaded = environment
        .clone()
        .and_then(|environment| Config::load(&environment));
    match loaded {
        Ok(config) => {
            let source = match &config.source {
                Some(path) => format!("{} and the environment", path.display()),
                None => "defaults and the environment; there is no longshore.yaml".to_owned(),
            };
            checkup.add([Check::ok(name, source)]);
            checkup.add(config.warnings.iter().map(|warning| {
                Check::problem(name, warning.clone(), "correct it, or take it away")
            }));
            Ok(config)
        }
        Err(error) => {
            checkup.add(error.problems().iter().map(|problem| {
                Check::problem(
                    name,
                    problem.to_string(),
                    "correct it; what follows is checked without it",
                )
            }));
            fallback(environment)
        }
    }
}

/// The environment without the file, else the defaults alone.
fn fallback(environment: Result<Environment, ConfigError>) -> Result<Config, ConfigError> {
    let without_file =
        |environment: &Environment| Config::from_yaml(environment, "longshore.yaml".as_ref(), "");
    environment
        .and_then(|environment| without_file(&environment))
        .or_else(|_| without_file(&Environment::default()))
}

/// The platforms that may be used, and by which key; never the key itself.
fn providers_on(config: &Config) -> Check {
    if let Some(url) = &config.simulator_url {
        return Check::info("providers", format!("all of them simulated, at {url}"));
    }
    let on: Vec<String> = config
        .catalog
        .enabled()
        .map(|provider| match (&provider.key, &provider.key_variable) {
            (Some(_), Some(variable)) => format!("{} ({variable})", provider.name),
            _ => provider.name.to_string(),
        })
        .collect();
    if on.is_empty() {
        let variables: Vec<&str> = config
            .catalog
            .providers
            .iter()
            .filter_map(|provider| provider.key_variable.as_deref())
            .collect();
        Check::problem(
            "providers",
            "none is on: nobody answers jobs",
            format!(
                "set one of {}; or try with `longshore dev`, which simulates them",
                variables.join(", ")
            ),
        )
    } else {
        Check::ok("providers", on.join(", "))
    }
}

fn providers_off(config: &Config) -> Option<Check> {
    let off: Vec<&str> = config
        .catalog
        .providers
        .iter()
        .filter(|provider| !provider.is_on())
        .map(|provider| provider.name.as_str())
        .collect();
    (!off.is_empty()).then(|| Check::info("providers", format!("off: {}", off.join(", "))))
}
