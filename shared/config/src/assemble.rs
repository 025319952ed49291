//! Assembles the configuration from the environment, the file and the defaults.

use std::{collections::HashSet, path::Path};

use longshore_policy::{
    catalog::{Catalog, CatalogSettings},
    recipes::KnownNames,
    redis::RedisServers,
    retry::RetryPolicy,
};
use longshore_protocol::clock::local_time;
use longshore_settings::{
    ConfigError, Environment, FILE_NAME, Reader, Text, duration::format_duration, yaml::Parsed,
};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::{
    Config, Liveness, capabilities, cron, dead_letters, encryption, gates, limits, recipes,
    routing::{self, Known},
    table::{
        File, RawDatabase, RawLimits, RawLiveness, RawRedis, RawRetention, RawRetry, VARIABLES,
    },
    tools, webhooks,
};

/// Assembles it; `path` is that of the file, if there is one. The simulator of a `running` process stays as
/// it is.
pub(super) fn assemble(
    env: &Environment,
    path: Option<&Path>,
    file: Option<Parsed<File>>,
    running: Option<&Config>,
) -> Result<Config, ConfigError> {
    let variables = VARIABLES.iter().map(|variable| variable.name);
    let mut reader = Reader::new(env, path.unwrap_or(Path::new(FILE_NAME)), variables);
    let r = &mut reader;
    let file = file.map(|file| r.adopt(file)).unwrap_or_default();
    let mut config = Config::unread();
    config.source = path.map(Path::to_owned);

    File::process().read(r, &file, &mut config);
    servers(r, &file, &mut config);
    // A running process keeps its servers, whatever a new file says.
    if running.is_none() {
        check_servers(r, &config);
    }
    check_queues(r, file.queues.as_deref(), &mut config);
    capabilities::read_queues(&mut config);
    File::catalog().read(r, &file, &mut config);
    retries(r, &file, &mut config);
    RawLimits::settings().read(r, &file.limits.unwrap_or_default(), &mut config.limits);
    liveness(r, &file.liveness.unwrap_or_default(), &mut config.liveness);
    let retention = file.retention.unwrap_or_default();
    RawRetention::settings().read(r, &retention, &mut config.retention);

    let own = file.recipes.unwrap_or_default();
    let files = file.recipe_files.unwrap_or_default();
    let shipped = recipes::shipped(config.cto_model.as_deref());
    config.recipes = recipes::recipes(r, shipped, &own, &files, &config.limits);
    if let Some(first) = files.first() {
        r.record_origin("recipe_files", first);
    }
    let paths = files.iter().map(|path| path.as_str().to_owned());
    config.recipe_files = paths.collect();

    config.keyring = encryption::keyring(r, &file.encryption.unwrap_or_default());

    let model_files = file.model_files.unwrap_or_default();
    if let Some(first) = model_files.first() {
        r.record_origin("model_files", first);
    }
    let paths = model_files.iter().map(|path| path.as_str().to_owned());
    config.model_files = paths.collect();
    let written = CatalogSettings {
        providers: file.providers.unwrap_or_default(),
        models: file.models.unwrap_or_default(),
        model_files,
        unknown_price: config.unknown_price,
        tools: config.cli_tools.clone(),
    };
    let problems_before = r.problem_count();
    let simulator = &running.unwrap_or(&config).simulator_url;
    let catalog = Catalog::read(r, written, simulator.as_ref());
    for warning in catalog.farewells(local_time().date_naive()) {
        r.warn(warning);
    }
    let is_sound =
        r.problem_count() == problems_before && r.is_sound(&["providers", "models", "model_files"]);
    let known = Known {
        catalog: &catalog,
        is_sound,
    };
    config.routing = routing::read(r, &file.routing.unwrap_or_default(), known);
    config.budgets = limits::budgets(r, &file.budgets.unwrap_or_default(), known);
    config.tenants = limits::tenants(r, &file.tenants.unwrap_or_default());
    config.queue_limits = limits::queue_limits(r, &file.queue_limits.unwrap_or_default());
    config.webhooks = webhooks::webhooks(r, file.webhooks.unwrap_or_default());
    config.alerts = webhooks::alerts(r, &file.alerts.unwrap_or_default(), &config.webhooks);
    config.circuit = limits::circuit(r, &file.circuit.unwrap_or_default());
    let dead_letters = file.dead_letters.unwrap_or_default();
    config.replay_rules = dead_letters::replay_rules(r, &dead_letters, known);
    let problems_before = r.problem_count();
    config.gates = gates::gates(r, &file.gates.unwrap_or_default());
    config.workspaces = tools::workspaces(r, &file.workspaces.unwrap_or_default(), &config);
    config.tools = tools::tools(r, &file.tools.unwrap_or_default(), &config);
    // A running process keeps its gates and tools, whatever a new file says.
    let has_commands = running.is_none() && r.problem_count() == problems_before;
    let names = KnownNames {
        catalog: is_sound.then_some(&catalog),
        categories: r
            .is_sound(&["routing"])
            .then_some(&config.routing.categories),
        gates: has_commands.then_some(&config.gates),
        tools: has_commands.then_some(&config.tools),
        workspaces: has_commands.then_some(&config.workspaces),
    };
    recipes::check_names(r, &own, &files, names, &config);
    config.cron = cron::cron(r, &file.cron.unwrap_or_default(), &config.limits);
    config.catalog = catalog;

    let read = reader.finish();
    if !read.problems.is_empty() {
        return Err(read.problems.into());
    }
    config.warnings = read.warnings;
    config.origins = read.origins;
    Ok(config)
}

/// The logins and certificates of Redis and Postgres.
fn servers(r: &mut Reader<'_>, file: &File, config: &mut Config) {
    let absent = RawRedis::default();
    let raw = file.redis.as_ref().unwrap_or(&absent);
    RawRedis::settings().read(r, raw, &mut config.redis_access);
    let absent = RawDatabase::default();
    let raw = file.database.as_ref().unwrap_or(&absent);
    RawDatabase::settings().read(r, raw, config);
}

/// Nothing may be set twice, or without what it needs.
fn check_servers(r: &mut Reader<'_>, config: &Config) {
    let access = &config.redis_access;
    let (has_user, has_password) = config.redis_url.has_login();
    let is_sentinel = matches!(config.redis_url.servers(), RedisServers::Sentinel { .. });
    let has_database_password =
        Url::parse(config.database_url.expose_secret()).is_ok_and(|url| url.password().is_some());
    for (is_wrong, names, text) in [
        (
            access.username.is_some() && has_user,
            ["redis.username", "redis_url"],
            "`redis.username` is set, and `redis_url` names a user as well; remove one of them",
        ),
        (
            access.password_file.is_some() && has_password,
            ["redis.password_file", "redis_url"],
            "`redis.password_file` is set, and `redis_url` contains a password as well; remove one of them",
        ),
        (
            config.database_password_file.is_some() && has_database_password,
            ["database.password_file", "database_url"],
            "`database.password_file` is set, and `database_url` contains a password as well; remove one of them",
        ),
        (
            access.cert_file.is_some() && access.key_file.is_none(),
            ["redis.cert_file", "redis.key_file"],
            "`redis.cert_file` is set without `redis.key_file`; a client certificate needs both",
        ),
        (
            access.key_file.is_some() && access.cert_file.is_none(),
            ["redis.key_file", "redis.cert_file"],
            "`redis.key_file` is set without `redis.cert_file`; a client certificate needs both",
        ),
    ] {
        if is_wrong {
            r.problem_with_settings(&names, text.to_owned());
        }
    }
    let tls = [
        ("redis.ca_file", &access.ca_file),
        ("redis.cert_file", &access.cert_file),
    ];
    for (name, path) in tls {
        if path.is_some() && !config.redis_url.has_tls() {
            let text = format!(
                "`{name}` has no effect without TLS; expected `redis_url` to begin with rediss"
            );
            r.problem_with_settings(&[name, "redis_url"], text);
        }
    }
    let sentinel = [
        (
            "redis.sentinel_username",
            access.sentinel_username.is_some(),
        ),
        (
            "redis.sentinel_password_file",
            access.sentinel_password_file.is_some(),
        ),
    ];
    for (name, is_set) in sentinel {
        if is_set && !is_sentinel {
            let text = format!(
                "`{name}` has no effect without Sentinel; expected `redis_url` of the form redis+sentinel://…"
            );
            r.problem_with_settings(&[name, "redis_url"], text);
        }
    }
}

/// A worker reads at least one queue, and each only once.
fn check_queues(r: &mut Reader<'_>, written: Option<&[Text]>, config: &mut Config) {
    if written.is_some_and(<[Text]>::is_empty) && config.queues.is_empty() {
        r.problem_near(None, "`queues` is empty; expected at least one name");
    }
    let mut seen = HashSet::new();
    config
        .queues
        .retain(|share| seen.insert(share.queue.clone()));
}

fn retries(r: &mut Reader<'_>, file: &File, config: &mut Config) {
    let settings = RawRetry::settings();
    let absent = RawRetry::default();
    let raw = file.retry.as_ref().unwrap_or(&absent);
    settings.read(r, raw, &mut config.retry);
    check_delays(r, "retry", &config.retry);
    for (name, raw) in file.retries.iter().flat_map(|entries| &entries.0) {
        let path = format!("retries.{}", name.as_str());
        let mut policy = config.retry.clone();
        settings.read_entry(r, &path, raw, &mut policy);
        check_delays(r, &path, &policy);
        config.retries.insert(name.as_str().to_owned(), policy);
    }
}

fn check_delays(r: &mut Reader<'_>, path: &str, policy: &RetryPolicy) {
    if policy.base_delay > policy.max_delay {
        let names = [format!("{path}.base_delay"), format!("{path}.max_delay")];
        let [base, max] = &names;
        let text = format!(
            "`{base}` ({}) must be at most `{max}` ({})",
            format_duration(policy.base_delay),
            format_duration(policy.max_delay)
        );
        // What a policy omits is as in `retry`.
        let names = [base, max, "retry.base_delay", "retry.max_delay"];
        r.problem_with_settings(&names, text);
    }
}

fn liveness(r: &mut Reader<'_>, raw: &RawLiveness, liveness: &mut Liveness) {
    RawLiveness::settings().read(r, raw, liveness);
    // One late heartbeat must not make a worker dead.
    if liveness.heartbeat_ttl < liveness.heartbeat_every * 2 {
        let text = format!(
            "`liveness.heartbeat_ttl` ({}) must be at least twice `liveness.heartbeat_every` ({})",
            format_duration(liveness.heartbeat_ttl),
            format_duration(liveness.heartbeat_every)
        );
        let names = ["liveness.heartbeat_every", "liveness.heartbeat_ttl"];
        r.problem_with_settings(&names, text);
    }
}
