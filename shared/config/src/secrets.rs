//! Literal keys and passwords in a configuration.
//!
//! The file of a process may contain them. A configuration that is pushed through Redis may not: it names
//! the variables that contain them.

use std::path::Path;

use longshore_settings::{Problem, Text, interpolate::is_only_variables};

use crate::table::File;

/// The problems of a file with literal keys, or literal passwords in URLs, if it were pushed.
pub(crate) fn literal_secrets(path: &Path, file: &File) -> Vec<Problem> {
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
    for (name, tool) in file.tools.iter().flat_map(|entries| &entries.0) {
        let headers = tool.http.iter().flat_map(|request| &request.headers);
        for (header, value) in headers.flat_map(|headers| &headers.0) {
            if is_credential(header.as_str()) && !value.as_str().contains("${") {
                let (name, header) = (name.as_str(), header.as_str());
                refuse(format!("tools.{name}.http.headers.{header}"), value);
            }
        }
    }
    problems
}

/// Whether a header usually holds a secret.
fn is_credential(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    ["authorization", "key", "token", "secret", "cookie"]
        .iter()
        .any(|word| header.contains(word))
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
    use longshore_settings::{ConfigError, Environment, yaml::parse};

    use super::*;
    use crate::Config;

    fn refused(yaml: &str) -> String {
        let path = Path::new("new.yaml");
        let file = parse(path, yaml).unwrap();
        let problems = literal_secrets(path, &file.value);
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
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

    #[test]
    fn secrets_hide_no_other_problem() {
        let env = Environment::default();
        let path = Path::new("new.yaml");
        let started = Config::from_yaml(&env, path, "").unwrap();
        let yaml = "concurency: 5\nproviders:\n  openai: { api_key: sk-hunter2 }\ngrace: soon\n";
        let refused = |yaml: &str| {
            started
                .to_push(&env, path, yaml)
                .map_err(|e: ConfigError| e.to_string())
        };
        insta::assert_snapshot!(refused(yaml).unwrap_err(), @r"
        new.yaml:1: `concurency` is not a setting; did you mean `concurrency`?
        new.yaml:3: `providers.openai.api_key` contains a literal secret, and everyone who can read Redis can read a pushed configuration; write ${NAME}, and set the variable where the workers run
        new.yaml:4: `grace` is `soon`; expected a time from 0ms to 1d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
        ");
        assert!(refused("providers: { openai: { api_key: sk-1 } }\n").is_err());
        assert_eq!(refused("grace: 1s\n").unwrap().grace.as_secs(), 1);
    }
}
