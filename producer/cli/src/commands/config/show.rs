//! `longshore config show`: shows every setting.

use longshore_broker::PushedConfig;
use longshore_config::{Config, Shown};
use longshore_settings::Environment;
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::{
        table::{Cell, Table, Width, whole, wrap},
        text::printable,
        time::{from_unix_ms, timestamp},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also show where each value comes from
    #[arg(long)]
    origin: bool,
}

#[derive(Debug, Serialize)]
struct SettingsDocument {
    /// The local file.
    file: Option<String>,
    pushed: FleetConfigState,
    settings: Vec<Shown>,
}

/// The pushed configuration.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum FleetConfigState {
    Nothing,
    #[serde(rename = "taken")]
    Applied {
        version: u64,
        pushed_at: String,
    },
    Refused {
        version: u64,
        error: String,
    },
    Unknown {
        error: String,
    },
}

/// Works without Redis: the pushed configuration is then unknown.
pub(super) async fn run(arguments: Arguments) -> Result<Exit, CommandError> {
    let session = Session::open_silently()?;
    let (config, pushed) = match read_pushed(&session).await {
        Ok(pushed) => with_pushed(session.config, pushed, &session.environment),
        Err(error) => {
            let error = error.first_line();
            (session.config, FleetConfigState::Unknown { error })
        }
    };
    output::warnings(&config.warnings);
    let file = config
        .source
        .as_ref()
        .map(|path| path.display().to_string());
    let document = SettingsDocument {
        file,
        pushed,
        settings: config.shown(),
    };
    arguments.format.print_with(&document, || {
        describe_settings(&document, arguments.origin, Width::of_terminal())
    });
    Ok(Exit::Success)
}

async fn read_pushed(session: &Session) -> Result<Option<PushedConfig>, CommandError> {
    let (_, pushed) = session.broker().await?.fleet_config().get().await?;
    Ok(pushed)
}

/// The configuration that the services use.
fn with_pushed(
    own: Config,
    pushed: Option<PushedConfig>,
    env: &Environment,
) -> (Config, FleetConfigState) {
    let Some(pushed) = pushed else {
        return (own, FleetConfigState::Nothing);
    };
    let version = pushed.version;
    match own.with_pushed(env, pushed.version, &pushed.text) {
        Ok(config) => (
            config,
            FleetConfigState::Applied {
                version,
                pushed_at: timestamp(from_unix_ms(pushed.pushed_at)),
            },
        ),
        Err(error) => (
            own,
            FleetConfigState::Refused {
                version,
                error: error.to_string(),
            },
        ),
    }
}

fn describe_settings(document: &SettingsDocument, origin: bool, width: Width) -> String {
    let mut table = if origin {
        Table::new([whole("SETTING"), wrap("VALUE"), wrap("FROM")])
    } else {
        Table::new([whole("SETTING"), wrap("VALUE")])
    };
    for setting in &document.settings {
        let mut row = vec![
            Cell::new(printable(&setting.name)),
            Cell::new(printable(&setting.value)),
        ];
        if origin {
            let from = setting.origin.as_ref().map(ToString::to_string);
            row.push(Cell::new(from.as_deref().unwrap_or("default")));
        }
        table.add_row(row);
    }
    format!("{}\n\n{}", table.fitted(width), describe_sources(document))
}

fn describe_sources(document: &SettingsDocument) -> String {
    let file = document.file.as_deref().unwrap_or("no file");
    match &document.pushed {
        FleetConfigState::Nothing => {
            format!("Sources: {file}, environment, defaults. No configuration is pushed.")
        }
        FleetConfigState::Applied { version, pushed_at } => format!(
            "Sources: configuration version {version}, pushed at {pushed_at}, environment, defaults."
        ),
        FleetConfigState::Refused { version, error } => format!(
            "Sources: {file}, environment, defaults. The pushed configuration version {version} is invalid and \
             ignored:\n{error}"
        ),
        FleetConfigState::Unknown { error } => format!(
            "Sources: {file}, environment, defaults. The pushed configuration is unknown: {error}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Environment {
        Environment::from_pairs([("OPENAI_API_KEY", "sk-1"), ("LONGSHORE_GRACE", "9s")])
    }

    fn own() -> Config {
        let yaml = "retry: { jitter: 1s }\n";
        Config::from_yaml(&env(), "longshore.yaml".as_ref(), yaml).unwrap()
    }

    fn shown(pushed: &str, origin: bool) -> String {
        let pushed = PushedConfig {
            text: pushed.to_owned(),
            version: 4,
            pushed_at: 1_800_000_000_000,
        };
        let (config, pushed) = with_pushed(own(), Some(pushed), &env());
        let settings = config.shown();
        describe_settings(
            &SettingsDocument {
                file: config.source.map(|path| path.display().to_string()),
                pushed,
                settings: settings.into_iter().take(22).collect(),
            },
            origin,
            Width::UNLIMITED,
        )
    }

    #[test]
    fn settings_are_shown_with_their_origin() {
        insta::assert_snapshot!(shown("retry: { max_retries: 7 }\n", true), @r"
        SETTING                       VALUE                     FROM
        redis_url                     127.0.0.1:6379            default
        database_url                  127.0.0.1:5432/longshore  default
        namespace                     longshore                 default
        queues                        default                   default
        queue_order                   weighted                  default
        concurrency                   1000                      default
        grace                         9s                        LONGSHORE_GRACE
        listen                        off                       default
        migrate                       true                      default
        simulator_url                 off                       default
        capabilities                                            default
        redis.username                none                      default
        redis.password_file           none                      default
        redis.ca_file                 public authorities        default
        redis.cert_file               none                      default
        redis.key_file                none                      default
        redis.sentinel_username       none                      default
        redis.sentinel_password_file  none                      default
        database.password_file        none                      default
        retry.max_retries             7                         pushed config 4:1
        retry.max_repairs             1                         default
        retry.base_delay              1s                        default

        Sources: configuration version 4, pushed at 2027-01-15T08:00:00Z, environment, defaults.
        ");
    }

    #[test]
    fn an_invalid_pushed_configuration_is_reported() {
        let text = shown("retry: 7\n", false);
        assert!(
            text.ends_with(
                "The pushed configuration version 4 is invalid and ignored:\npushed config 4:1: `retry` is a single value; \
                 expected a map: lines `name: value` under it, indented"
            ),
            "{text}"
        );
        assert!(text.contains("retry.base_delay"), "{text}");
    }
}
