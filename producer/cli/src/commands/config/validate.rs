//! `longshore config validate`: validates a file.

use std::path::{Path, PathBuf};

use longshore_config::Config;
use longshore_policy::catalog::Enabled;
use longshore_settings::{ConfigError, Environment, Origin, Problem};
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    input::{file_label, read_text_or_stdin},
    output::{self, Format},
    render::text::{counted, printable},
};

/// The exit code of an invalid file, as of any invalid configuration.
const EXIT_INVALID: u8 = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File to validate; `-` reads stdin [default: the one that services here read]
    file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Validation {
    ok: bool,
    file: Option<PathBuf>,
    problems: Vec<ProblemDocument>,
    warnings: Vec<String>,
}

/// A problem with its location.
#[derive(Debug, Serialize)]
struct ProblemDocument {
    file: Option<PathBuf>,
    line: Option<usize>,
    variable: Option<String>,
    text: String,
}

impl From<&Problem> for ProblemDocument {
    fn from(problem: &Problem) -> Self {
        let (file, line, variable) = match &problem.origin {
            Origin::File { path, line } => (Some(path.clone()), *line, None),
            Origin::Variable(name) => (None, None, Some(name.clone())),
            Origin::Configuration => (None, None, None),
        };
        Self {
            file,
            line,
            variable,
            text: problem.text.clone(),
        }
    }
}

/// Validates and prints; exit code 2 if the file is invalid.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, CommandError> {
    let read = match &arguments.file {
        Some(path) => {
            let text = read_text_or_stdin(path)?;
            let label = file_label(path);
            Environment::read().and_then(|env| Config::from_yaml(&env, Path::new(&label), &text))
        }
        None => Environment::read().and_then(|env| Config::load(&env)),
    };
    match arguments.format {
        Format::Json => output::json(&validation(arguments.file.as_deref(), &read)),
        Format::Text => output::line(printable(&describe_validation(&read))),
    }
    Ok(match read {
        Ok(_) => Exit::Success,
        Err(_) => Exit::Code(EXIT_INVALID),
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
            problems: error.problems().iter().map(ProblemDocument::from).collect(),
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
            let enabled = config.catalog.enabled().count();
            let enabled = format!("{} enabled", counted(enabled, "provider"));
            lines.push(match &config.source {
                Some(path) => format!("{} is valid: {enabled}.", path.display()),
                None => format!(
                    "No longshore.yaml; the environment and the defaults are valid: {enabled}."
                ),
            });
            lines.join("\n")
        }
        Err(error) => format!("{error}\n{}.", counted(error.problems().len(), "problem")),
    }
}

/// All warnings, including providers of the file whose key is not set.
fn all_warnings(config: &Config) -> Vec<String> {
    let disabled = config.catalog.providers.iter().filter_map(|provider| {
        let name = format!("providers.{}", provider.name);
        match (&provider.enabled, config.origins.get(&name)) {
            (Enabled::Off(why), Some(origin)) if why.ends_with("is not set") => Some(format!(
                "{origin}: `{name}` is disabled here: {why}; set it where the services run"
            )),
            _ => None,
        }
    });
    config.warnings.iter().cloned().chain(disabled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Config, ConfigError> {
        Config::from_yaml(&Environment::default(), "longshore.yaml".as_ref(), yaml)
    }

    #[test]
    fn all_problems_are_reported() {
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
    fn a_missing_key_is_a_warning() {
        let yaml = "\
providers:
  gateway: { base_url: 'https://llm.example.com', api_key: '${GATEWAY_KEY}', default_model: m }
  xai: { enabled: false }
  mine: { base_url: 'http://127.0.0.1:11434/v1', default_model: llama }
";
        insta::assert_snapshot!(describe_validation(&read(yaml)), @r"
        Warning: longshore.yaml:2: `providers.gateway` is disabled here: GATEWAY_KEY is not set; set it where the services run
        longshore.yaml is valid: 1 provider enabled.
        ");
    }
}
