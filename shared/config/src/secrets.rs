//! Literal keys and passwords in a configuration.
//!
//! The file of a process may contain them. A configuration that is pushed through Redis may not: it names
//! the variables that contain them.

use std::path::Path;

use longshore_settings::{ConfigError, Problem, Text, interpolate::is_only_variables, yaml::parse};

use crate::table::File;

/// Refuses a configuration with a literal key, or a literal password in a URL.
pub fn refuse_secrets(path: &Path, text: &str) -> Result<(), ConfigError> {
    let file: File = parse(path, text)?;
    let mut problems = Vec::new();
    let mut refuse = |name: String, written: &Text| {
        let text = format!(
            "`{name}` contains a literal secret, and everyone who can read Redis can read a pushed \
             configuration; write ${{NAME}}, and set the variable where the workers run"
        );
        problems.push(Problem::new(written.origin(path), text));
    };
    let urls = [
        ("redis_url", &file.redis_url),
        ("database_url", &file.database_url),
    ];
    for (name, written) in urls {
        if let Some(written) = written
            && contains_password(written.as_str())
        {
            refuse(name.to_owned(), written);
        }
    }
    let secret = file
        .webhooks
        .as_ref()
        .and_then(|webhooks| webhooks.secret.as_ref());
    if let Some(secret) = secret.filter(|secret| !is_only_variables(secret.as_str())) {
        refuse("webhooks.secret".to_owned(), secret);
    }
    for (name, provider) in file.providers.iter().flat_map(|entries| &entries.0) {
        let key = provider.as_ref().and_then(|provider| provider.key());
        if let Some(key) = key.filter(|key| !is_only_variables(key.as_str())) {
            refuse(format!("providers.{}.api_key", name.as_str()), key);
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.into())
    }
}

/// Whether a URL contains a literal password, in its login or in an option.
fn contains_password(url: &str) -> bool {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let login = address
        .rsplit_once('@')
        .and_then(|(before, _)| before.split_once("://"))
        .and_then(|(_, login)| login.split_once(':'))
        .is_some_and(|(_, password)| !is_only_variables(password));
    let option = options
        .split('&')
        .filter_map(|option| option.split_once('='))
        .any(|(name, value)| name.contains("pass") && !is_only_variables(value));
    login || option
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> String {
        refuse_secrets(Path::new("new.yaml"), yaml)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn refuses_literal_secrets_without_showing_them() {
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
            let error = refused(yaml);
            let begin = format!("new.yaml:2: `{name}` contains a literal secret, ");
            assert!(error.starts_with(&begin), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn accepts_variables() {
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
