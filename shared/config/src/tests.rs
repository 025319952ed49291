use std::sync::atomic::{AtomicU32, Ordering};

use longshore_settings::FILE_NAME;
use secrecy::ExposeSecret;

use super::*;

/// A directory for one test, removed at its end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("longshore-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn load(pairs: &[(&str, &str)], yaml: &str) -> Result<Config, ConfigError> {
    let env = Environment::from_pairs(pairs.iter().copied());
    Config::from_yaml(&env, Path::new(FILE_NAME), yaml)
}

fn problems(pairs: &[(&str, &str)], yaml: &str) -> String {
    load(pairs, yaml).unwrap_err().to_string()
}

#[test]
fn every_setting_has_a_default() {
    let config = Config::load(&Environment::default()).unwrap();
    assert_eq!(
        config.redis_url.text().expose_secret(),
        "redis://127.0.0.1:6379"
    );
    assert_eq!(
        config.database_url.expose_secret(),
        "postgres://127.0.0.1:5432/longshore"
    );
    assert_eq!(config.namespace.as_str(), "longshore");
    assert_eq!(config.queue_names(), [QueueName::default()]);
    assert_eq!(config.concurrency, 1_000);
    assert_eq!(config.grace, Duration::from_secs(330));
    assert_eq!(config.listen, None);
    assert_eq!(config.retry, RetryPolicy::default());
    assert!(config.retries.is_empty());
    assert_eq!(config.limits, MessageLimits::default());
    assert_eq!(config.liveness, Liveness::default());
    assert_eq!(config.retention, Retention::default());
    assert!(config.migrate);
    assert_eq!(config.simulator_url, None);
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.source, None);
}

/// A key that encrypts.
pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(crate) const EVERYTHING: &str = "
redis_url: redis://:${REDIS_PASSWORD}@cache:6379
database_url: postgres://me@db/ledger
redis: { username: worker }
database: { password_file: /run/secrets/postgres }
namespace: staging
queues: [default=6, bulk, default]
queue_order: strict
concurrency: ${WORKERS:-250}
grace: 1m
listen: 0.0.0.0:9100
migrate: no
simulator_url: http://127.0.0.1:9999
retry: { max_retries: 5, base_delay: 500ms, max_delay: 2m, jitter: 0, hold_limit: 5 }
retries:
  patient:
    max_retries: 20
    max_delay: 1h
limits: { max_message_bytes: 4MiB, max_depth: 32, max_tool_rounds: 12 }
liveness: { heartbeat_every: 1s, heartbeat_ttl: 5s }
retention: { results: 2h, unrequested_results: 1m, ids: 48h, dead_letters: 7d, dead_letters_max: 5_000, dead_letters_archive: 900d, jobs: 90d, attempts: 400d, costs: 3650d, audit: 800d, events_bad: 30d }
encryption: { keys: { k1: '${KEY}' }, current: k1 }
providers:
models: []
cli_tools: [claude, /opt/bin/ask]
cto_model: claude-opus-4-8
model_files: []
recipe_files: []
unknown_price: zero
routing:
  default_rules: false
  rules: [{ name: Plans, type: [planning], risk: [high], platform: [claude], tier: advanced }]
  keywords: [{ category: poems, words: [sonnet], platforms: [claude] }]
  tiers: { trivial: fast }
  prefer_local: true
  max_cost_per_task: 0.5
  fallback_provider: openai
  estimate_threshold: 500
budgets:
  - { name: all, scope: overall, limit_usd: '100', per: month, time_zone: Europe/Berlin, reset_at: '06:30' }
  - { name: each, scope: tenant, limit_usd: '5', per: hour, kind: soft }
tenants: { acme: { weight: 3 } }
queue_limits: { bulk: { max_concurrent: 20, requests_per_minute: 600 } }
alerts: { at: [60, 95], webhook: https://hooks.example.com/path }
webhooks: { hosts: [hooks.example.com], secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, timeout: 5s }
circuit: { error_percent: 40, min_calls: 20, window: 20s, cooldown: 10s, max_cooldown: 2m }
capabilities: [gates, tools]
gates: { rust: { command: [cargo, test], working_dir: /work, timeout: 5m, env: { CI: '1' }, max_output: 2MiB, max_memory: 2GiB, warnings: '^warning' } }
workspaces: { app: { directory: /, max_file_bytes: 64KiB, run: [[cargo, test], [cargo, clippy]], timeout: 2m, env: { CI: '1' } } }
tools:
  lookup: { description: Looks up., parameters: { type: object }, command: [/bin/sh, --json], working_dir: /, timeout: 5s, max_output: 64KiB, env: { TOKEN: '${KEY}' } }
  weather: { description: Knows., http: { method: GET, url: 'https://weather.example/now', headers: { authorization: 'Bearer ${KEY}' } } }
cron: [{ name: hourly, schedule: '@hourly', timezone: Asia/Tokyo, job: { prompt: Hello } }]
";

#[test]
fn the_file_can_set_everything() {
    let config = load(&[("REDIS_PASSWORD", "p:w"), ("KEY", KEY)], EVERYTHING).unwrap();
    assert_eq!(
        config.redis_url.text().expose_secret(),
        "redis://:p:w@cache:6379"
    );
    assert_eq!(
        config.database_url.expose_secret(),
        "postgres://me@db/ledger"
    );
    assert_eq!(config.namespace.as_str(), "staging");
    let queues: Vec<String> = config.queues.iter().map(ToString::to_string).collect();
    assert_eq!(queues, ["default=6", "bulk", "gates", "tools"]);
    assert_eq!(config.concurrency, 250);
    assert_eq!(config.grace, Duration::from_mins(1));
    assert_eq!(config.listen, "0.0.0.0:9100".parse().ok());
    assert!(!config.migrate);
    let retry = RetryPolicy {
        max_retries: 5,
        max_repairs: 1,
        base_delay: Duration::from_millis(500),
        max_delay: Duration::from_mins(2),
        jitter: Duration::ZERO,
        hold_limit: Duration::from_secs(5),
    };
    let patient = RetryPolicy {
        max_retries: 20,
        max_repairs: 1,
        max_delay: Duration::from_hours(1),
        ..retry.clone()
    };
    assert_eq!(config.retry, retry);
    assert_eq!(
        config.retries,
        BTreeMap::from([("patient".to_owned(), patient)])
    );
    assert_eq!(config.limits.max_bytes, 4 << 20);
    assert_eq!(config.limits.max_depth, 32);
    assert_eq!(config.liveness.heartbeat_ttl, Duration::from_secs(5));
    assert_eq!(config.retention.dead_letters, Duration::from_hours(7 * 24));
    assert_eq!(config.retention.dead_letters_max, 5_000);
    assert_eq!(config.retention.unrequested_results, Duration::from_mins(1));
    assert_eq!(config.retention.audit, Some(Duration::from_hours(800 * 24)));
    assert_eq!(config.retention.jobs, Some(Duration::from_hours(90 * 24)));
    assert_eq!(config.source.as_deref(), Some(Path::new(FILE_NAME)));
}

#[test]
fn two_variables_of_one_setting_that_differ_are_reported() {
    let pairs = [
        ("LONGSHORE_REDIS_URL", "redis://ours"),
        ("REDIS_URL", "redis://theirs"),
        ("LONGSHORE_DATABASE_URL", "postgres://ours/x"),
        ("DATABASE_URL", "postgres://ours/x"),
    ];
    let config = load(&pairs, "").unwrap();
    assert_eq!(config.redis_url.text().expose_secret(), "redis://ours");
    assert_eq!(
        config.warnings,
        ["REDIS_URL is ignored: LONGSHORE_REDIS_URL is set to another value and takes precedence"]
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let pairs = [
        ("REDIS_PASSWORD", "x"),
        ("REDIS_URL", "redis://plain"),
        ("LONGSHORE_DATABASE_URL", "postgres://ours/x"),
        ("DATABASE_URL", "mysql://of-another-program"),
        ("LONGSHORE_NAMESPACE", "mine"),
        ("LONGSHORE_QUEUES", "a, b"),
        ("LONGSHORE_CONCURRENCY", "7"),
        ("LONGSHORE_GRACE_SECONDS", "90"),
        ("LONGSHORE_LISTEN", "off"),
        ("LONGSHORE_MIGRATE", "true"),
        ("LONGSHORE_RETRY_BASE_DELAY", "2s"),
        ("LONGSHORE_RETENTION_DEAD_LETTERS_MAX", "9"),
        ("LONGSHORE_LIMITS_MAX_DEPTH", ""),
        ("KEY", KEY),
    ];
    let config = load(&pairs, EVERYTHING).unwrap();
    assert_eq!(
        config.warnings, [""; 0],
        "the database of another program is none of our concern"
    );
    assert_eq!(config.redis_url.text().expose_secret(), "redis://plain");
    assert_eq!(config.database_url.expose_secret(), "postgres://ours/x");
    assert_eq!(config.namespace.as_str(), "mine");
    assert_eq!(config.queues.len(), 4);
    assert_eq!(config.concurrency, 7);
    assert_eq!(config.grace, Duration::from_secs(90));
    assert_eq!(config.listen, None);
    assert!(config.migrate);
    assert_eq!(config.retry.base_delay, Duration::from_secs(2));
    assert_eq!(config.retention.dead_letters_max, 9);
    assert_eq!(config.limits.max_depth, 32);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn reports_all_problems_with_their_lines() {
    let yaml = "\
namespace: \"{x}\"
concurrency: many
grace: 1 week
queues: [ok, 'not ok']
listen: localhost
retry:
  max_retries: ${TRIES}
  base_delay: ${oops
";
    assert_eq!(
        problems(&[("LONGSHORE_MIGRATE", "maybe")], yaml),
        "\
longshore.yaml:1: `namespace` is `{x}`; expected 1 to 64 characters of [A-Za-z0-9._-]
longshore.yaml:2: `concurrency` is `many`; expected a whole number from 1 to 100000
longshore.yaml:3: `grace` is `1 week`; expected a time from 0ms to 1d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
longshore.yaml:4: `queues` is `not ok`; expected queue names of 1 to 64 characters of [A-Za-z0-9._-], or NAME=WEIGHT with a weight from 1 to 1000
longshore.yaml:5: `listen` is `localhost`; expected an address and a port, such as 0.0.0.0:9100, or off
longshore.yaml:7: `retry.max_retries` needs the variable TRIES, which is not set; set it, or write ${TRIES:-default}
longshore.yaml:8: `retry.base_delay` has a ${ that is neither ${NAME}, ${NAME|OTHER} nor ${NAME:-default}; write $${ for a plain ${
LONGSHORE_MIGRATE: `migrate` is `maybe`; expected true or false"
    );
}

#[test]
fn refuses_settings_that_contradict_each_other() {
    let yaml = "\
retry: { base_delay: 90s }
liveness: { heartbeat_every: 6s }
";
    assert_eq!(
        problems(&[], yaml),
        "\
longshore.yaml:1: `retry.base_delay` (90s) must be at most `retry.max_delay` (1m)
longshore.yaml:2: `liveness.heartbeat_ttl` (10s) must be at least twice `liveness.heartbeat_every` (6s)"
    );
}

#[test]
fn an_unknown_name_is_reported_with_the_known_ones() {
    assert_eq!(
        problems(&[], "limits:\n  max_message_bytes: 1KiB\n  depth: 3\n"),
        "longshore.yaml:3: `limits.depth` is not a setting; expected one of max_message_bytes, max_chain_bytes, max_depth, max_tool_rounds"
    );
}

#[test]
fn invalid_yaml_is_reported_with_its_line() {
    for (yaml, line) in [
        ("queues: [a\nb: c\n", 2),
        ("grace: 1\nb\n", 2),
        ("queues: a\n", 1),
        ("- a\n", 1),
    ] {
        let text = problems(&[], yaml);
        assert!(
            text.starts_with(&format!("longshore.yaml:{line}: ")),
            "{yaml:?} {text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn errors_show_no_secret() {
    let secret = "hunter2";
    for yaml in [
        "redis_url: http://:hunter2@x\n",
        "database_url: hunter2\n",
        "concurrency: ${KEY}\n",
        "providers: { openai: hunter2 }\n",
        "providers: { openai: { api_key: [hunter2] } }\n",
        "providers: { openai: { base_url: 'https://hunter2@x' } }\n",
        "providers: { openai: { api_key: 'a${hunter-2' } }\n",
        "providers: { openai: { api_key: hunter2\n",
        "providers: { openai: { api_key: hunter2, x: y } }\n",
        "simulator_url: https://:hunter2@x\n",
        "providers: hunter2\n",
        "hunter: 2\n  api_key: hunter2\n",
    ] {
        let text = problems(&[("KEY", secret)], yaml);
        assert!(!text.contains(secret), "{yaml} {text}");
    }
    let config = load(
        &[
            ("OPENAI_API_KEY", secret),
            ("REDIS_URL", "redis://:hunter2@x"),
        ],
        "providers: { mine: { base_url: 'http://x', api_key: hunter2, default_model: m } }\n",
    );
    assert!(!format!("{config:?}").contains(secret));
}

#[test]
fn warns_about_unknown_variables() {
    let pairs = [
        ("LONGSHORE_CONCURENCY", "5"),
        ("LONGSHORE_TEAM", "x"),
        ("LONGSHORE_OWN", "7"),
        ("LONGSHORE_LOG", "debug"),
        ("LONGSHORE_GRACE", "5"),
        ("LONGSHORE_SERVICE_HOST", "10.0.0.1"),
        ("LONGSHORE_PORT_9100_TCP", "tcp://10.0.0.1:9100"),
    ];
    let config = load(&pairs, "concurrency: ${LONGSHORE_OWN}\n").unwrap();
    assert_eq!(
        config.warnings,
        [
            "the variable LONGSHORE_CONCURENCY is not a setting; did you mean LONGSHORE_CONCURRENCY?",
            "the variable LONGSHORE_TEAM is not a setting",
        ]
    );
}

#[test]
fn finds_the_file() {
    let directory = Directory::new("found");
    directory.write(FILE_NAME, "concurrency: 5\n");
    directory.write("other.yaml", "concurrency: ${N}\n");
    directory.write(".env", "N=6\n");
    let load = |pairs: &[(&str, &str)]| {
        let env = Environment::from_pairs(pairs.iter().copied());
        Config::load(&env.in_directory(directory.path()).unwrap())
    };
    assert_eq!(load(&[]).unwrap().concurrency, 5);
    let other = directory.path().join("other.yaml");
    let other = load(&[("LONGSHORE_CONFIG", other.to_str().unwrap())]).unwrap();
    assert_eq!(other.concurrency, 6);
    let error = load(&[("LONGSHORE_CONFIG", "/nowhere.yaml")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere.yaml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn an_empty_file_is_valid() {
    for yaml in [
        "",
        "# nothing yet\n",
        "---\n",
        "retry:\nproviders:\nqueues:\n",
    ] {
        assert_eq!(load(&[], yaml).unwrap().concurrency, 1_000, "{yaml:?}");
    }
    assert_eq!(
        problems(&[], "queues: []\n"),
        "longshore.yaml: `queues` is empty; expected at least one name"
    );
}

#[test]
fn the_examples_of_the_document_are_valid() {
    let document = include_str!("../../../docs/CONFIGURATION.md");
    let examples: Vec<&str> = document
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        let keys = [("LONGSHORE_KEY_1", KEY), ("LONGSHORE_KEY_2", KEY)];
        let used = keys.into_iter().filter(|(name, _)| example.contains(name));
        let config = load(&used.collect::<Vec<_>>(), example).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new(), "{example}");
    }
}
