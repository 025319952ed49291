//! `longshore doctor`: checks the setup and suggests a fix for each problem.

mod checks;
mod encryption;
mod postgres;
mod redis;
mod services;

use longshore_config::Config;
use longshore_settings::{ConfigError, Environment};

use self::checks::{Check, Checkup};
use crate::{
    environment,
    error::{CommandError, Exit},
    output::Format,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[arg(
        long,
        value_name = "NAME",
        help = "Redis user of workers and schedulers, whose permissions are checked [default: the user of this configuration]"
    )]
    redis_user: Option<String>,
}

/// Exit code 1 if there is a problem.
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, CommandError> {
    let mut checkup = Checkup::default();
    let environment = environment::read();
    let config = load_config(&mut checkup, environment.clone())?;
    let session = Session {
        environment: environment.unwrap_or_default(),
        config,
    };
    let (redis, postgres) = tokio::join!(
        redis::check(&session, arguments.redis_user.as_deref()),
        postgres::check(&session)
    );
    checkup.add(redis.server);
    checkup.add(postgres.checks);
    checkup.add([enabled_providers(&session.config)]);
    checkup.add(disabled_providers(&session.config));
    checkup.add(redis.services);
    checkup.add(redis::event_checks(redis.events, postgres.answers));
    arguments.format.print(&checkup);
    Ok(Exit::success_if(checkup.is_healthy()))
}

/// The configuration, or a fallback if it is invalid.
fn load_config(
    checkup: &mut Checkup,
    environment: Result<Environment, ConfigError>,
) -> Result<Config, ConfigError> {
    let name = "configuration";
    let loaded = environment
        .clone()
        .and_then(|environment| Config::load(&environment));
    match loaded {
        Ok(config) => {
            let source = match &config.source {
                Some(path) => format!("{} and the environment", path.display()),
                None => "the environment and the defaults; no longshore.yaml".to_owned(),
            };
            checkup.add([Check::ok(name, source)]);
            checkup.add(
                config.warnings.iter().map(|warning| {
                    Check::problem(name, warning.clone(), "correct it, or remove it")
                }),
            );
            Ok(config)
        }
        Err(error) => {
            checkup.add(error.problems().iter().map(|problem| {
                Check::problem(
                    name,
                    problem.to_string(),
                    "correct it; the other checks ignore it",
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

/// The enabled providers with the variables of their keys, never the keys.
fn enabled_providers(config: &Config) -> Check {
    if let Some(url) = &config.simulator_url {
        return Check::info("providers", format!("all simulated at {url}"));
    }
    let enabled: Vec<String> = config
        .catalog
        .enabled()
        .map(|provider| match (&provider.key, &provider.key_variable) {
            (Some(_), Some(variable)) => format!("{} ({variable})", provider.name),
            _ => provider.name.to_string(),
        })
        .collect();
    if enabled.is_empty() {
        let variables: Vec<&str> = config
            .catalog
            .providers
            .iter()
            .filter_map(|provider| provider.key_variable.as_deref())
            .collect();
        Check::problem(
            "providers",
            "none is enabled, so every job fails",
            format!(
                "set one of {}; or use `longshore dev`, which simulates providers",
                variables.join(", ")
            ),
        )
    } else {
        Check::ok("providers", enabled.join(", "))
    }
}

fn disabled_providers(config: &Config) -> Option<Check> {
    let disabled: Vec<&str> = config
        .catalog
        .providers
        .iter()
        .filter(|provider| !provider.is_on())
        .map(|provider| provider.name.as_str())
        .collect();
    (!disabled.is_empty())
        .then(|| Check::info("providers", format!("disabled: {}", disabled.join(", "))))
}
