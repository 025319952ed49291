//! `settings` of providers: other orchestrators keep a provider's options under this name. Longshore has options of the
//! same meaning, so each of theirs is refused with its translation.

use longshore_settings::{Reader, Text};

use super::raw::RawProvider;

/// Options of a provider that have the same name one level up.
const SAME_NAME: [&str; 10] = [
    "api_key",
    "base_url",
    "default_model",
    "dialect",
    "rate_limit_delay",
    "min_delay",
    "max_delay",
    "timeout",
    "limits",
    "account",
];

/// Refuses each key in the `settings` of a provider, with what to write instead. `written` is the provider's name in
/// the file, `names` are those of all providers.
pub(super) fn refuse(r: &mut Reader<'_>, written: &Text, raw: &RawProvider, names: &[&str]) {
    let Some(settings) = &raw.settings else {
        return;
    };
    let provider = written.as_str();
    let keys = || settings.0.iter().map(|(key, _)| key);
    let program = format!("{provider}-cli");
    let runs_program = keys().any(|key| key.as_str() == "cli_path");
    // The other options of a provider with a program are the program's.
    let tool = Some(program).filter(|program| runs_program && names.contains(&program.as_str()));
    for key in keys() {
        let name = key.as_str();
        let remedy = match (&tool, name) {
            (Some(tool), "cli_path") => format!(
                "a program is a provider of its own, here `{tool}`: write `{tool}: {{enabled: true}}`, with a \
                 `command` of other programs or paths, which `cli_tools` must allow"
            ),
            (tool, _) => translation(tool.as_deref().unwrap_or(provider), name),
        };
        let text = format!("`providers.{provider}.settings.{name}` is not a setting; {remedy}");
        r.problem_at(key, text);
    }
}

/// What to write instead of an option of the provider `owner`.
fn translation(owner: &str, option: &str) -> String {
    match option {
        _ if SAME_NAME.contains(&option) => {
            format!("write it without `settings`, as `providers.{owner}.{option}`")
        }
        "endpoint" | "url" | "api_base" | "host" => {
            format!("its name is `base_url`: `providers.{owner}.base_url`")
        }
        "model" => format!("its name is `default_model`: `providers.{owner}.default_model`"),
        "cli_path" => "a program is a provider with `dialect: cli` and a `command`, which `cli_tools` must allow"
            .to_owned(),
        "max_concurrent" | "requests_per_minute" | "tokens_per_minute" | "requests_per_day" => {
            format!("it is a limit: `providers.{owner}.limits.{option}`")
        }
        "max_tokens" | "temperature" | "top_p" => {
            format!("a provider has no `{option}`, because jobs set it in their field `{option}`")
        }
        "max_retries" => "it applies to all providers: `retry.max_retries`".to_owned(),
        _ => "a provider has nothing of this meaning; remove it".to_owned(),
    }
}
