//! Command-line tools as providers: their command and environment.

use longshore_settings::{Form, Reader, Text};
use secrecy::SecretString;
use url::Url;

use super::{DialectName, RawProvider, forms::missing, list};

/// Variables that every command-line tool gets: the paths of programs and of its own login, the
/// language, and a terminal without capabilities (`TERM` is `dumb`).
pub const SEEN_BY_TOOLS: [&str; 4] = ["PATH", "HOME", "LANG", "TERM"];

/// The command and environment of a tool; empty for other providers.
#[derive(Debug, Default)]
pub(super) struct Tool {
    pub(super) command: Vec<String>,
    pub(super) env: Vec<(String, SecretString)>,
    /// What is missing, if it cannot be used.
    pub(super) lacks: Option<String>,
}

impl Tool {
    /// The address shown for the tool.
    pub(super) fn address(&self) -> Option<Url> {
        Url::parse(&format!("cli:{}", self.command.first()?)).ok()
    }
}

/// Reads the settings of a tool; only `allowed` programs may be run.
pub(super) fn tool(
    r: &mut Reader<'_>,
    at: &dyn Fn(&str) -> String,
    (raw, written): (&RawProvider, Option<&Text>),
    dialect: Option<DialectName>,
    allowed: &[String],
) -> Tool {
    let command = raw.command.as_deref().unwrap_or_default();
    let names = raw.env.as_deref().unwrap_or_default();
    let Some(dialect) = dialect else {
        return Tool::default();
    };
    if dialect != DialectName::Cli {
        for (field, values) in [("command", command), ("env", names)] {
            if let Some(first) = values.first() {
                let text = format!("`{}` is only for `dialect: cli`", at(field));
                r.problem_at(first, text);
            }
        }
        return Tool::default();
    }
    let useless = [
        (
            "base_url",
            &raw.base_url,
            "a command-line tool has no address",
        ),
        ("api_key", &raw.api_key, "name the key's variable in `env`"),
    ];
    for (field, value, why) in useless {
        if let Some(value) = value {
            r.problem_at(value, format!("`{}` has no use here: {why}", at(field)));
        }
    }
    let command = words(r, &at("command"), command);
    let (env, mut lacks) = environment(r, &at("env"), names);
    match (command.first(), written) {
        (None, _) => {
            let expected = "a program and its arguments, such as [claude, -p]";
            missing::<()>(r, written, &at("command"), expected);
        }
        (Some(program), written) if !allowed.contains(program) => {
            let why = format!("`cli_tools` does not allow `{program}`");
            let allowed = list(allowed.iter().map(String::as_str));
            match written {
                Some(near) => {
                    let text = format!("`{}`: {why}; expected one of {allowed}", at("command"));
                    r.problem_at(near, text);
                }
                // A built-in provider that the user did not configure.
                None => lacks = Some(why),
            }
        }
        _ => {}
    }
    Tool {
        command,
        env,
        lacks,
    }
}

fn words(r: &mut Reader<'_>, at: &str, written: &[Text]) -> Vec<String> {
    let word = Form::new("a program and its arguments", |text| Some(text.to_owned()));
    written
        .iter()
        .filter_map(|text| r.value(at, text, &word))
        .collect()
}

fn environment(
    r: &mut Reader<'_>,
    at: &str,
    written: &[Text],
) -> (Vec<(String, SecretString)>, Option<String>) {
    let name = Form::new("names of variables, such as CODEX_API_KEY", |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!text.is_empty() && text.chars().all(allowed)).then(|| text.to_owned())
    });
    let named: Vec<String> = written
        .iter()
        .filter_map(|text| r.value(at, text, &name))
        .collect();
    let mut lacks = None;
    for name in &named {
        if r.variable(name).is_none() {
            lacks.get_or_insert_with(|| format!("{name} is not set"));
        }
    }
    let mut env = Vec::new();
    for name in SEEN_BY_TOOLS.map(str::to_owned).into_iter().chain(named) {
        let value = match name.as_str() {
            "TERM" => Some("dumb"),
            _ => r.variable(&name),
        };
        env.extend(value.map(|value| (name, SecretString::from(value))));
    }
    (env, lacks)
}
