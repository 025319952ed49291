//! Keys and passwords that stand in a file as they are.
//!
//! A file on a machine may hold them; a configuration that is pushed through Redis may only name the
//! variables that they come from.

use std::path::Path;

use longshore_settings::{ConfigError, Problem, Text, interpolate::names_only, yaml::parse};

use super::file::File;

/// Refuses a text that holds a key, or a password in an address, instead of the variable's name.
pub fn without_secrets(path: &Path, text: &str) -> Result<(), ConfigError> {
    let file: File = parse(path, text)?;
    let mut problems = Vec::new();
    let mut refuse = |name: String, written: &Text| {
        let text = format!(
            "`{name}` holds a secret as it is, and a pushed configuration can be read by all who read \
             Redis; write ${{NAME}}, and set the variable where the workers run"
        );
        problems.push(Problem::new(written.origin(path), text));
    };
    let urls = [
        ("redis_url", &file.redis_url),
        ("database_url", &file.database_url),
    ];
    for (name, written) in urls {
        if let Some(written) = written
            && holds_password(written.as_written())
        {
            refuse(name.to_owned(), written);
        }
    }
    let secret = file
        .webhooks
        .as_ref()
        .and_then(|webhooks| webhooks.secret.as_ref());
    if let Some(secret) = secret.filter(|secret| !names_only(secret.as_written())) {
        refuse("webhooks.secret".to_owned(), secret);
    }
    for (name, provider) in file.providers.iter().flat_map(|entries| &entries.0) {
        let key = provider.as_ref().and_then(|provider| provider.key());
        if let Some(key) = key.filter(|key| !names_only(key.as_written())) {
            refuse(format!("providers.{}.api_key", name.as_written()), key);
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.into())
    }
}

/// Whether a server's address has a password in it, as a login or as an option.
fn holds_password(url: &str) -> bool {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let login = address
        .rsplit_once('@')
        .and_then(|(before, _)| before.split_once("://"))
        .and_then(|(_, login)| login.split_once(':'))
        .is_some_and(|(_, password)| !names_only(password));
    let option = options
        .split('&')
        .filter_map(|option| option.split_once('='))
        .any(|(name, value)| name.contains("pass") && !names_only(value));
    login || option
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> String {
        without_secrets(Path::new("new.yaml"), yaml)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn secrets_as_they_are_are_refused_by_line_and_not_shown() {
        for (yaml, name) in [
            (
                "grace: 1s\nproviders: { openai: { api_key: sk-hunter2 } }\n",
                "providers.openai.api_key",
            ),
            (
                "grace: 1s\nproviders: { mine: { api_key: \"${KEY:-hunter2}\" } }\n",
                "providers.mine.api_key",
            ),
            (
                "grace: 1s\nproviders: { mine: { api_key: \"hunter2${KEY}\" } }\n",
                "providers.mine.api_key",
            ),
            (
                "grace: 1s\nwebhooks: { secret: whsec_hunter2 }\n",
                "webhooks.secret",
            ),
            (
                "grace: 1s\nredis_url: redis://:hunter2@cache\n",
                "redis_url",
            ),
            (
                "grace: 1s\nredis_url: redis://me:hunter2/@cache/2\n",
                "redis_url",
            ),
            (
                "grace: 1s\ndatabase_url: postgres://me@db/x?sslpassword=hunter2\n",
                "database_url",
            ),
        ] {
            let told = refused(yaml);
            let begin = format!("new.yaml:2: `{name}` holds a secret as it is, ");
            assert!(told.starts_with(&begin), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn names_of_variables_are_no_secrets() {
        for yaml in [
            "providers: { openai: { api_key: \"${OPENAI_API_KEY}\" }, mine: , other: { enabled: false } }\n",
            "providers: { openai: { api_key: \"${KEY:-}\" } }\n",
            "providers: { openai: { api_key: \"\" } }\n",
            "redis_url: redis://:${PASSWORD}@cache\n",
            "redis_url: rediss://user:${PASSWORD}@cache:6379/2?timeout=5\n",
            "database_url: postgres://me@db/longshore?password=${PASSWORD}\n",
            "redis_url: redis://cache:6379\n",
            "redis_url: \"${REDIS}\"\n",
            "",
        ] {
            assert_eq!(refused(yaml), "", "{yaml}");
        }
    }
}
