//! `longshore config validate`: whether a file is right.

use std::path::{Path, PathBuf};

use longshore_config::Config;
use longshore_policy::catalog::Enabled;
use longshore_settings::{ConfigError, Environment, Origin, Problem};
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    input::read_text,
    output::{self, Format},
    render::text::{counted, printable},
};

/// The exit code of a file that is wrong, as of any wrong configuration.
const EXIT_WRONG: u8 = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File to validate [default: the one that services here read]
    file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Validation {
    ok: bool,
    file: Option<PathBuf>,
    problems: Vec<Fault>,
    warnings: Vec<String>,
}

/// One problem, in parts.
#[derive(Debug, Serialize)]
struct Fault {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    text: String,
}

impl From<&Problem> for Fault {
    fn from(problem: &Problem) -> Self {
        let (file, line, variable) = match &problem.origin {
            Origin::File { path, line } => (Some(path.clone()), *line, None),
            Origin::Variable(name) => (None, None, Some(name.clone())),
            Origin::Together => (None, None, None),
        };
        Self {
            file,
            line,
            variable,
            text: problem.text.clone(),
        }
    }
}

/// Checks and prints; exit code 2 if the file is wrong.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, CommandError> {
    let read = match &arguments.file {
        Some(path) => {
            let text = read_text(path)?;
            Environment::read().and_then(|env| Config::from_yaml(&env, path, &text))
        }
        None => Environment::read().and_then(|env| Config::load(&env)),
    };
    match arguments.format {
        Format::Json => output::json(&validation(arguments.file.as_deref(), &read)),
        Format::Text => output::line(printable(&describe_validation(&read))),
    }
    Ok(match read {
        Ok(_) => Exit::Success,
        Err(_) => Exit::Code(EXIT_WRONG),
    })
}

fn validation(file: Option<&Path>, read: &Result<Config, ConfigError>) -> Validation {
    match read {
        Ok(config) => Validation {
            ok: true,
            file: config.source.clone(),
            problems: Vec::new(),
            warnings: all_warnings(config),
        },
        Err(error) => Validation {
            ok: false,
            file: file.map(Path::to_owned),
            problems: error.problems().iter().map(Fault::from).collect(),
            warnings: Vec::new(),
        },
    }
}

fn describe_validation(read: &Result<Config, ConfigError>) -> String {
    match read {
        Ok(config) => {
            let mut lines: Vec<String> = all_warnings(config)
                .iter()
                .map(|warning| format!("Warning: {warning}"))
                .collect();
            let on = config.catalog.enabled().count();
            let on = format!("{} on", counted(on, "provider"));
            lines.push(match &config.source {
                Some(path) => format!("{} is valid: {on}.", path.display()),
                None => format!(
                    "There is no longshore.yaml; the environment and the defaults are valid: {on}."
                ),
            });
            lines.join("\n")
        }
        Err(error) => format!("{error}\n{}.", counted(error.problems().len(), "problem")),
    }
}

/// What looks wrong: also a provider of the file whose key is nowhere.
fn all_warnings(config: &Config) -> Vec<String> {
    let off = config.catalog.providers.iter().filter_map(|provider| {
        let name = format!("providers.{}", provider.name);
        match (&provider.enabled, config.origins.get(&name)) {
            (Enabled::Off(why), Some(origin)) if why.ends_with("is not set") => Some(format!(
                "{origin}: `{name}` is off here: {why}; set it where the services run"
            )),
            _ => None,
        }
    });
    config.warnings.iter().cloned().chain(off).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Config, ConfigError> {
        Config::from_yaml(&Environment::default(), "longshore.yaml".as_ref(), yaml)
    }

    #[test]
    fn all_problems_are_told() {
        let read = read("concurrency: 0\nretry: { jitter: long }\n");
        insta::assert_snapshot!(describe_validation(&read), @r"
        longshore.yaml:1: `concurrency` is `0`; expected a whole number from 1 to 100000
        longshore.yaml:2: `retry.jitter` is `long`; expected a time from 0ms to 30d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
        2 problems.
        ");
        let json = serde_json::to_value(validation(None, &read)).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["problems"][1]["file"], "longshore.yaml");
        assert_eq!(json["problems"][1]["line"], 2);
    }

    #[test]
    fn a_key_that_is_nowhere_is_a_warning() {
        let yaml = "\
providers:
  gateway: { base_url: 'https://llm.example.com', api_key: '${GATEWAY_KEY}', default_model: m }
  xai: { enabled: false }
  mine: { base_url: 'http://127.0.0.1:11434/v1', default_model: llama }
";
        insta::assert_snapshot!(describe_validation(&read(yaml)), @r"
        Warning: longshore.yaml:2: `providers.gateway` is off here: GATEWAY_KEY is not set; set it where the services run
        longshore.yaml is valid: 1 provider on.
        ");
    }
}
