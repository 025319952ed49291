//! Invalid files and their errors: file, line, setting and remedy.

use std::path::Path;

use longshore_settings::{Environment, FILE_NAME};

use super::Config;

/// Files and their errors.
const BROKEN: [(&str, &str); 66] = [
    (
        "concurency: 5\n",
        "longshore.yaml:1: `concurency` is not a setting; did you mean `concurrency`?",
    ),
    (
        "retry:\n  max_retry: 5\n",
        "longshore.yaml:2: `retry.max_retry` is not a setting; did you mean `max_retries`?",
    ),
    (
        "retry: 5\n",
        "longshore.yaml:1: `retry` is a single value; expected a map: lines `name: value` under it, indented",
    ),
    (
        "retry: { max_retries: -1 }\n",
        "longshore.yaml:1: `retry.max_retries` is `-1`; expected a whole number from 0 to 100",
    ),
    (
        "retry:\n  max_retries: [1, 2]\n",
        "longshore.yaml:2: `retry.max_retries` is a list; expected a single value",
    ),
    (
        "retry:\n  base_delay: 5 parsecs\n",
        "longshore.yaml:2: `retry.base_delay` is `5 parsecs`; expected a time from 0ms to 30d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)",
    ),
    (
        "retry: { base_delay: 2m, max_delay: 1m }\n",
        "longshore.yaml:1: `retry.base_delay` (2m) must be at most `retry.max_delay` (1m)",
    ),
    (
        "retries:\n  patient: 20\n",
        "longshore.yaml:2: `retries.patient` is a single value; expected a map: lines `name: value` under it, indented",
    ),
    (
        "retries:\n  patient:\n    max_delay: 31d\n",
        "longshore.yaml:3: `retries.patient.max_delay` is `31d`; expected a time from 0ms to 30d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)",
    ),
    (
        "retries:\n  patient: { max_retries: many }\n",
        "longshore.yaml:2: `retries.patient.max_retries` is `many`; expected a whole number from 0 to 100",
    ),
    (
        "grace: 1 week\n",
        "longshore.yaml:1: `grace` is `1 week`; expected a time from 0ms to 1d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)",
    ),
    (
        "grace: 30s\nlisten: off\ngrace: 60s\n",
        "longshore.yaml:3: `grace` is set twice, first on line 1; remove one",
    ),
    (
        "listen: localhost\n",
        "longshore.yaml:1: `listen` is `localhost`; expected an address and a port, such as 0.0.0.0:9100, or off",
    ),
    (
        "namespace: \"{prod}\"\n",
        "longshore.yaml:1: `namespace` is `{prod}`; expected 1 to 64 characters of [A-Za-z0-9._-]",
    ),
    (
        "queues: default\n",
        "longshore.yaml:1: `queues` is a single value; expected a list: [one, another], or lines `- one` under it, indented",
    ),
    (
        "queues: [default, \"two words\"]\n",
        "longshore.yaml:1: `queues` is `two words`; expected queue names of 1 to 64 characters of [A-Za-z0-9._-], or NAME=WEIGHT with a weight from 1 to 1000",
    ),
    (
        "concurrency: 0\n",
        "longshore.yaml:1: `concurrency` is `0`; expected a whole number from 1 to 100000",
    ),
    (
        "concurrency: ${WORKERS}\n",
        "longshore.yaml:1: `concurrency` needs the variable WORKERS, which is not set; set it, or write ${WORKERS:-default}",
    ),
    (
        "concurrency: ${WORKERS:10}\n",
        "longshore.yaml:1: `concurrency` has a ${ that is neither ${NAME}, ${NAME|OTHER} nor ${NAME:-default}; write $${ for a plain ${",
    ),
    (
        "concurrency: [100]\n",
        "longshore.yaml:1: `concurrency` is a list; expected a single value",
    ),
    (
        "migrate: perhaps\n",
        "longshore.yaml:1: `migrate` is `perhaps`; expected true or false",
    ),
    (
        "redis_url: http://cache:6379\n",
        "longshore.yaml:1: `redis_url` is not valid; expected redis://host:port, redis+sentinel://host:port,host:port/name or redis+cluster://host:port,host:port, or the same with rediss for TLS",
    ),
    (
        "redis_url: redis+sentinel://a,b\n",
        "longshore.yaml:1: `redis_url` is not valid; expected redis://host:port, redis+sentinel://host:port,host:port/name or redis+cluster://host:port,host:port, or the same with rediss for TLS",
    ),
    (
        "redis_url: rediss://me:x@cache\nredis: { username: you, password_file: f, cert_file: c }\n",
        "longshore.yaml:2: `redis.username` is set, and `redis_url` names a user as well; remove one of them\n\
         longshore.yaml:2: `redis.password_file` is set, and `redis_url` contains a password as well; remove one of them\n\
         longshore.yaml:2: `redis.cert_file` is set without `redis.key_file`; a client certificate needs both",
    ),
    (
        "redis: { ca_file: ca.pem, sentinel_username: me }\n",
        "longshore.yaml:1: `redis.ca_file` has no effect without TLS; expected `redis_url` to begin with rediss\n\
         longshore.yaml:1: `redis.sentinel_username` has no effect without Sentinel; expected `redis_url` of the form redis+sentinel://…",
    ),
    (
        "database_url: postgres://me:x@db/l\ndatabase: { password_file: f }\n",
        "longshore.yaml:2: `database.password_file` is set, and `database_url` contains a password as well; remove one of them",
    ),
    (
        "database_url: mysql://db/longshore\n",
        "longshore.yaml:1: `database_url` is not valid; expected postgres://user@host:port/database",
    ),
    (
        "simulator_url: simulator:8080\n",
        "longshore.yaml:1: `simulator_url` is not valid; expected an http:// or https:// address with a host, without a login or a query",
    ),
    (
        "limits:\n  max_message_bytes: 1GB\n",
        "longshore.yaml:2: `limits.max_message_bytes` is `1GB`; expected a number of bytes from 1024 to 536870912, such as 65536, 512KiB or 1MiB",
    ),
    (
        "limits: { max_depth: 1000 }\n",
        "longshore.yaml:1: `limits.max_depth` is `1000`; expected a whole number from 1 to 128",
    ),
    (
        "liveness:\n  heartbeat_every: 6s\n",
        "longshore.yaml:2: `liveness.heartbeat_ttl` (10s) must be at least twice `liveness.heartbeat_every` (6s)",
    ),
    (
        "retention:\n  results: forever\n",
        "longshore.yaml:2: `retention.results` is `forever`; expected a time from 1s to 3650d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)",
    ),
    (
        "retention:\n  dead_letters_max: 0\n",
        "longshore.yaml:2: `retention.dead_letters_max` is `0`; expected a whole number from 1 to 1000000000",
    ),
    (
        "providers: [openai, anthropic]\n",
        "longshore.yaml:1: `providers` is a list; expected a map: lines `name: value` under it, indented",
    ),
    (
        "providers:\n  openai:\n    api_kye: ${OPENAI_API_KEY}\n",
        "longshore.yaml:3: `providers.openai.api_kye` is not a setting; did you mean `api_key`?",
    ),
    (
        "providers:\n  openai:\n    dialect: chat\n",
        "longshore.yaml:3: `providers.openai.dialect` is `chat`; expected one of openai, anthropic, gemini, ollama, cli",
    ),
    (
        "providers:\n  mine:\n    default_model: m\n",
        "longshore.yaml:2: `providers.mine.base_url` is missing; expected an address, such as http://localhost:11434/v1",
    ),
    (
        "providers:\n  mine:\n    base_url: http://gpu:8000/v1\n",
        "longshore.yaml:2: `providers.mine.default_model` is missing; expected the name of a model, or an entry in `models`",
    ),
    (
        "providers:\n  mine:\n    base_url: gpu:8000\n    default_model: m\n",
        "longshore.yaml:3: `providers.mine.base_url` is not valid; expected an http:// or https:// address with a host, without a login or a query",
    ),
    (
        "providers:\n  openai:\n    enabled: maybe\n",
        "longshore.yaml:3: `providers.openai.enabled` is `maybe`; expected true or false",
    ),
    (
        "providers:\n  openai:\n    api_key: \"${OPENAI_API_KEY\"\n",
        "longshore.yaml:3: `providers.openai.api_key` has a ${ that is neither ${NAME}, ${NAME|OTHER} nor ${NAME:-default}; write $${ for a plain ${",
    ),
    (
        "providers:\n  claude:\n    enabled: false\n  anthropic:\n    enabled: true\n",
        "longshore.yaml:4: the provider `anthropic` is named twice",
    ),
    (
        "providers:\n  \"my gpu\":\n    base_url: http://gpu:8000/v1\n",
        "longshore.yaml:2: the provider's name `my gpu` is not valid; expected 1 to 64 characters of [a-z0-9._-]",
    ),
    (
        "models:\n  provider: openai\n  model: gpt-4o\n",
        "longshore.yaml:2: `models` is a map; expected a list: [one, another], or lines `- one` under it, indented",
    ),
    (
        "models:\n  - provider: opnai\n    model: gpt-4o\n",
        "longshore.yaml:2: `models.provider` is `opnai`; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli",
    ),
    (
        "models:\n  - model: gpt-4o\n    tier: fast\n",
        "longshore.yaml:2: a model needs both `provider` and `model`",
    ),
    (
        "\
models:
  - provider: openai
    model: new
    context_window: 8192
    max_output_tokens: 4096
    output_per_million: \"2\"
",
        "longshore.yaml:2: `models.input_per_million` is missing; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals",
    ),
    (
        "\
models:
  - provider: openai
    model: gpt-4o
    input_per_million: $3
    output_per_million: \"10\"
",
        "longshore.yaml:4: `models.input_per_million` is `$3`; expected US dollars per million tokens, from 0 to 100000 with at most 9 decimals",
    ),
    (
        "models:\n  - provider: openai\n    model: gpt-4o\n    tier: cheap\n",
        "longshore.yaml:4: `models.tier` is `cheap`; expected one of fast, standard, advanced",
    ),
    (
        "models:\n  - provider: openai\n    model: gpt-4o\n    context_window: 128k\n",
        "longshore.yaml:4: `models.context_window` is `128k`; expected a whole number from 1 to 1000000000",
    ),
    (
        "\
models:
  - { provider: openai, model: gpt-4o }
  - { provider: openai, model: gpt-4o }
",
        "longshore.yaml:3: the model `gpt-4o` of `openai` is named twice",
    ),
    (
        "dead_letters:\n  replays: []\n",
        "longshore.yaml:2: `dead_letters.replays` is not a setting; did you mean `replay`?",
    ),
    (
        "dead_letters:\n  replay:\n    - reasons: [timeout]\n",
        "longshore.yaml:3: `dead_letters.replay.name` is missing; expected 1 to 64 characters of [A-Za-z0-9._-]",
    ),
    (
        "dead_letters:\n  replay:\n    - name: again\n      platform: openai\n",
        "longshore.yaml:3: `dead_letters.replay.reasons` is missing; expected a list of reasons, such as [overloaded, timeout]",
    ),
    (
        "dead_letters:\n  replay:\n    - name: again\n      reasons: [timeout, not_json]\n",
        "longshore.yaml:4: `dead_letters.replay.reasons` is `not_json`; expected one of rate_limited, quota_exhausted, overloaded, timeout, network, auth, bad_request, context_too_long, refused, bad_output, internal, poison, budget_exceeded",
    ),
    (
        "dead_letters:\n  replay:\n    - { name: again, reasons: [timeout], when: later }\n",
        "longshore.yaml:3: `dead_letters.replay.when` is `later`; expected healthy, or after and a time from 1s to 30d, such as `after 10m`",
    ),
    (
        "dead_letters:\n  replay:\n    - name: again\n      reasons: [timeout]\n      per_minute: 0\n",
        "longshore.yaml:5: `dead_letters.replay.per_minute` is `0`; expected a whole number from 1 to 1000000",
    ),
    (
        "dead_letters:\n  replay:\n    - { name: again, reasons: [timeout], platform: opnai }\n",
        "longshore.yaml:3: `dead_letters.replay.platform` is `opnai`; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli",
    ),
    (
        "dead_letters:\n  replay:\n    - { name: again, reasons: [timeout] }\n    - { name: again, reasons: [network] }\n",
        "longshore.yaml:4: the rule `again` is defined twice; rename one",
    ),
    (
        "- concurrency: 5\n",
        "longshore.yaml:1: the file is a list; expected a map: lines `name: value`",
    ),
    (
        "concurrency: 5\n  grace: 30s\n",
        "longshore.yaml:2: this is not YAML, in or after `grace`: mapping values are not allowed in this context; expected `name: value`, with quotes around a value that contains any of : # { } [ ] , & * ? | > @ `",
    ),
    (
        "queues: [default\ngrace: 30s\n",
        "longshore.yaml:2: this is not YAML, in or after `grace`: illegal placement of ':' indicator; expected `name: value`, with quotes around a value that contains any of : # { } [ ] , & * ? | > @ `",
    ),
    (
        "redis_url: @cache\n",
        "longshore.yaml:1: this is not YAML, in or after `redis_url`: unexpected character: `@'; expected `name: value`, with quotes around a value that contains any of : # { } [ ] , & * ? | > @ `",
    ),
    (
        "retry:\n\tmax_retries: 2\n",
        "longshore.yaml:2: `max_retries` is indented with a tab; use spaces",
    ),
    (
        "namespace: *prod\n",
        "longshore.yaml:1: `namespace` begins with *, which refers to an anchor in YAML, and no anchor has this name; expected quotes around a value that begins with *",
    ),
    (
        "grace: 30s\n---\ngrace: 60s\n",
        "longshore.yaml:3: a second document begins here; expected a single one, so remove the `---`",
    ),
];

fn error_of(yaml: &str) -> String {
    Config::from_yaml(&Environment::default(), Path::new(FILE_NAME), yaml)
        .unwrap_err()
        .to_string()
}

#[test]
fn reports_line_setting_and_remedy() {
    for (yaml, expected) in BROKEN {
        assert_eq!(error_of(yaml), expected, "{yaml}");
    }
}

#[test]
fn every_error_has_a_line_a_setting_and_a_remedy() {
    for (yaml, expected) in BROKEN {
        for problem in expected.lines() {
            let (location, text) = problem.split_once(": ").unwrap();
            let line = location
                .strip_prefix("longshore.yaml:")
                .and_then(|line| line.parse().ok());
            assert!(
                line.is_some_and(|line: usize| line <= yaml.lines().count()),
                "{problem}"
            );
            assert!(text.contains('`'), "no key: {problem}");
            let remedies = [
                "expected",
                "did you mean",
                "twice",
                "needs both",
                "set it",
                "remove",
                "use ",
                "rename",
                "write",
                "must be",
            ];
            assert!(
                remedies.iter().any(|remedy| text.contains(remedy)),
                "no remedy: {problem}"
            );
        }
    }
}
