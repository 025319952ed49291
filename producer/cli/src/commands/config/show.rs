//! `longshore config show`: every setting as it is.

use comfy_table::Cell;
use longshore_shared::{
    broker::Pushed,
    config::{Config, Environment, Shown},
};
use serde::Serialize;

use crate::{
    commands::words::{drawn, harmless, of_ms, table, time},
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also show where each setting stands
    #[arg(long)]
    origin: bool,
}

/// Every setting, and where they come from.
#[derive(Debug, Serialize)]
struct Standing {
    /// The local file.
    file: Option<String>,
    pushed: Fleet,
    settings: Vec<Shown>,
}

/// What is pushed.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Fleet {
    Nothing,
    Taken { version: u64, pushed_at: String },
    Refused { version: u64, error: String },
    Unknown { error: String },
}

/// Reads and prints; Redis may be away.
pub(super) async fn run(arguments: Arguments) -> Result<Done, CommandError> {
    let env = Environment::read()?;
    let session = Session {
        config: Config::load(&env)?,
    };
    let (config, pushed) = match pushed(&session).await {
        Ok(pushed) => with(session.config, pushed, &env),
        Err(error) => {
            let error = error.to_string();
            let error = error.lines().next().unwrap_or_default().to_owned();
            (session.config, Fleet::Unknown { error })
        }
    };
    for warning in &config.warnings {
        output::note(format_args!("Warning: {warning}"));
    }
    let file = config
        .source
        .as_ref()
        .map(|path| path.display().to_string());
    let standing = Standing {
        file,
        pushed,
        settings: config.shown(),
    };
    match arguments.format {
        Format::Json => output::json(&standing),
        Format::Text => output::line(text(&standing, arguments.origin)),
    }
    Ok(Done::Success)
}

async fn pushed(session: &Session) -> Result<Option<Pushed>, CommandError> {
    let (_, pushed) = session.broker().await?.pushed_config().await?;
    Ok(pushed)
}

/// What services run by.
fn with(own: Config, pushed: Option<Pushed>, env: &Environment) -> (Config, Fleet) {
    let Some(pushed) = pushed else {
        return (own, Fleet::Nothing);
    };
    let version = pushed.version;
    match own.with_pushed(env, &pushed) {
        Ok(config) => (
            config,
            Fleet::Taken {
                version,
                pushed_at: time(of_ms(pushed.pushed_at)),
            },
        ),
        Err(error) => (
            own,
            Fleet::Refused {
                version,
                error: error.to_string(),
            },
        ),
    }
}

fn text(standing: &Standing, origin: bool) -> String {
    let mut rows = if origin {
        table(vec!["SETTING", "VALUE", "FROM"])
    } else {
        table(vec!["SETTING", "VALUE"])
    };
    for setting in &standing.settings {
        let mut row = vec![
            Cell::new(harmless(&setting.name)),
            Cell::new(harmless(&setting.value)),
        ];
        if origin {
            let from = setting.origin.as_ref().map(ToString::to_string);
            row.push(Cell::new(from.as_deref().unwrap_or("default")));
        }
        rows.add_row(row);
    }
    format!("{}\n\n{}", drawn(&rows), head(standing))
}

/// What the settings come from.
fn head(standing: &Standing) -> String {
    let file = standing.file.as_deref().unwrap_or("no file");
    match &standing.pushed {
        Fleet::Nothing => {
            format!("From {file}, the environment and the defaults; nothing is pushed.")
        }
        Fleet::Taken { version, pushed_at } => format!(
            "From what was pushed as version {version} at {pushed_at}, the environment and the defaults."
        ),
        Fleet::Refused { version, error } => format!(
            "From {file}, the environment and the defaults. What was pushed as version {version} is \
             refused:\n{error}"
        ),
        Fleet::Unknown { error } => format!(
            "From {file}, the environment and the defaults. Whether anything is pushed is not known: \
             {error}"
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
        let pushed = Pushed {
            text: pushed.to_owned(),
            version: 4,
            pushed_at: 1_800_000_000_000,
        };
        let (config, pushed) = with(own(), Some(pushed), &env());
        let settings = config.shown();
        text(
            &Standing {
                file: config.source.map(|path| path.display().to_string()),
                pushed,
                settings: settings.into_iter().take(20).collect(),
            },
            origin,
        )
    }

    #[test]
    fn each_setting_is_told_with_its_origin() {
        insta::assert_snapshot!(shown("retry: { max_retries: 7 }\n", true), @r"
        SETTING                   VALUE                     FROM
        redis_url                 127.0.0.1:6379            default
        database_url              127.0.0.1:5432/longshore  default
        namespace                 longshore                 default
        queues                    default                   default
        concurrency               1000                      default
        grace                     9s                        LONGSHORE_GRACE
        listen                    off                       default
        migrate                   true                      default
        simulator_url             off                       default
        retry.max_retries         7                         pushed config 4:1
        retry.base_delay          1s                        default
        retry.max_delay           1m                        default
        retry.jitter              3s                        default
        retry.hold_limit          10s                       default
        limits.max_message_bytes  1048576                   default
        limits.max_chain_bytes    16777216                  default
        limits.max_depth          64                        default
        liveness.heartbeat_every  3s                        default
        liveness.heartbeat_ttl    10s                       default
        retention.results         1h                        default

        From what was pushed as version 4 at 2027-01-15T08:00:00Z, the environment and the defaults.
        ");
    }

    #[test]
    fn what_was_refused_is_told() {
        let text = shown("retry: 7\n", false);
        assert!(
            text.ends_with(
                "What was pushed as version 4 is refused:\npushed config 4:1: `retry` is not a map; \
                 expected lines `name: value` under it, indented"
            ),
            "{text}"
        );
        assert!(text.contains("retry.jitter"), "{text}");
    }
}
