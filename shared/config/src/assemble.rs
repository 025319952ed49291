//! Puts the configuration together out of the environment, the file and the defaults.

use std::{path::Path, time::Duration};

use chrono::Utc;
use longshore_policy::catalog::{Catalog, UnknownPrice, Written, word};
use longshore_policy::{retention::Retention, retry::RetryPolicy};
use longshore_protocol::envelope::Limits;
use longshore_protocol::id::QueueName;
use longshore_settings::{ConfigError, Environment, FILE_NAME, Form, Origin, Reader, Text, form};
use secrecy::SecretString;

use super::{
    Config, Liveness, cron, dead_letters::replay_rules, file::File, file::RawLimits,
    file::RawLiveness, file::RawRetention, file::RawRetry, limits as spending, routing::routing,
    webhooks,
};

const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";
const DEFAULT_POSTGRES: &str = "postgres://127.0.0.1:5432/longshore";

/// The command-line tools that may be run where nothing else is said.
const TOOLS: [&str; 3] = ["claude", "codex", "gemini"];

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// Puts it together; `path` is the file's, if there is one. A process that is `running` with a
/// simulator goes on with it.
pub(super) fn assemble(
    env: &Environment,
    path: Option<&Path>,
    file: File,
    running: Option<&Config>,
) -> Result<Config, ConfigError> {
    let mut reader = Reader::new(env, path.unwrap_or(Path::new(FILE_NAME)));
    let r = &mut reader;

    let redis = form::server(
        "redis://host:port or rediss://host:port",
        &["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix"],
    );
    let postgres = form::server(
        "postgres://user@host:port/database",
        &["postgres", "postgresql"],
    );
    let redis_url = r.setting_also("redis_url", &["REDIS_URL"], file.redis_url.as_ref(), &redis);
    let database_url = r.setting_also(
        "database_url",
        &["DATABASE_URL"],
        file.database_url.as_ref(),
        &postgres,
    );
    let namespace = r.setting(
        "namespace",
        file.namespace.as_ref(),
        &longshore_policy::forms::namespace(),
    );
    let queues = queues(r, file.queues.as_deref());
    let concurrency = r.setting(
        "concurrency",
        file.concurrency.as_ref(),
        &form::whole(1..=100_000),
    );
    let grace = r.setting(
        "grace",
        file.grace.as_ref(),
        &form::duration(Duration::ZERO..=DAY),
    );
    let listen = r.setting("listen", file.listen.as_ref(), &form::listen());
    let migrate = r.setting("migrate", file.migrate.as_ref(), &form::flag());
    let simulator_url = r.setting("simulator_url", file.simulator_url.as_ref(), &form::url());

    let raw = file.retry.unwrap_or_default();
    let retry = policy(r, "retry", true, &raw, &RetryPolicy::default());
    let retries = file
        .retries
        .unwrap_or_default()
        .0
        .iter()
        .map(|(name, raw)| {
            let name = name.as_written().to_owned();
            // A name of the user's choice has no variable.
            let policy = policy(r, &format!("retries.{name}"), false, raw, &retry);
            (name, policy)
        })
        .collect();
    let limits = limits(r, &file.limits.unwrap_or_default());
    let liveness = liveness(r, &file.liveness.unwrap_or_default());
    let retention = retention(r, &file.retention.unwrap_or_default());
    let tools = tools(r, file.cli_tools.as_deref());
    let unknown_price = r.setting(
        "unknown_price",
        file.unknown_price.as_ref(),
        &unknown_price(),
    );
    let unknown_price = unknown_price.unwrap_or(UnknownPrice::Refuse);
    let model_files = file.model_files.unwrap_or_default();
    stand_at_first(r, "model_files", &model_files);
    let files = model_files.iter().map(|path| path.as_written().to_owned());
    let files = files.collect();
    let told = r.told();
    let written = Written {
        providers: file.providers.unwrap_or_default(),
        models: file.models.unwrap_or_default(),
        model_files,
        unknown_price,
        tools: tools.clone(),
    };
    let simulator = running.map_or(simulator_url.as_ref(), |running| {
        running.simulator_url.as_ref()
    });
    let catalog = Catalog::read(r, written, simulator);
    for warning in catalog.farewells(Utc::now().date_naive()) {
        r.warn(warning);
    }
    let is_sound = r.told() == told;
    let routing = routing(r, &file.routing.unwrap_or_default(), &catalog, is_sound);
    let budgets = spending::budgets(r, &file.budgets.unwrap_or_default(), &catalog);
    let tenants = spending::tenants(r, &file.tenants.unwrap_or_default());
    let webhooks = webhooks::webhooks(r, &file.webhooks.unwrap_or_default());
    let alerts = webhooks::alerts(r, &file.alerts.unwrap_or_default(), &webhooks);
    let circuit = spending::circuit(r, &file.circuit.unwrap_or_default());
    let replay_rules = replay_rules(r, &file.dead_letters.unwrap_or_default(), &catalog);
    let cron = cron::cron(r, &file.cron.unwrap_or_default(), &limits);

    let read = reader.finish();
    if !read.problems.is_empty() {
        return Err(read.problems.into());
    }
    Ok(Config {
        redis_url: redis_url.unwrap_or_else(|| SecretString::from(DEFAULT_REDIS)),
        database_url: database_url.unwrap_or_else(|| SecretString::from(DEFAULT_POSTGRES)),
        namespace: namespace.unwrap_or_default(),
        queues,
        concurrency: concurrency.unwrap_or(1_000),
        grace: grace.unwrap_or(30 * SECOND),
        listen: listen.flatten(),
        retry,
        retries,
        limits,
        liveness,
        retention,
        migrate: migrate.unwrap_or(true),
        simulator_url,
        cli_tools: tools,
        model_files: files,
        unknown_price,
        catalog,
        routing,
        budgets,
        tenants,
        alerts,
        webhooks,
        circuit,
        replay_rules,
        cron,
        warnings: read.warnings,
        origins: read.origins,
        source: path.map(Path::to_owned),
    })
}

fn queues(r: &mut Reader<'_>, written: Option<&[Text]>) -> Vec<QueueName> {
    let mut names = r
        .setting("queues", None, &longshore_policy::forms::queues())
        .unwrap_or_else(|| queues_of_file(r, written));
    // A queue that is named twice is read once.
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() {
        names.push(QueueName::default());
    }
    names
}

fn queues_of_file(r: &mut Reader<'_>, written: Option<&[Text]>) -> Vec<QueueName> {
    if written.is_some_and(<[Text]>::is_empty) {
        let origin = Origin::file(r.path(), None);
        r.problem(origin, "`queues` is empty; expected at least one name");
    }
    stand_at_first(r, "queues", written.unwrap_or_default());
    let form = longshore_policy::forms::queue();
    written
        .unwrap_or_default()
        .iter()
        .filter_map(|name| r.value("queues", name, &form))
        .collect()
}

/// Remembers where a list stands.
fn stand_at_first(r: &mut Reader<'_>, name: &str, list: &[Text]) {
    if let Some(first) = list.first() {
        r.stands_at(name, first);
    }
}

fn unknown_price() -> Form<UnknownPrice> {
    word(UnknownPrice::ALL, UnknownPrice::as_str)
}

/// The programs that providers may run at all.
fn tools(r: &mut Reader<'_>, written: Option<&[Text]>) -> Vec<String> {
    if let Some(tools) = r.setting("cli_tools", None, &form::programs()) {
        return tools;
    }
    let Some(written) = written else {
        return TOOLS.map(str::to_owned).into();
    };
    stand_at_first(r, "cli_tools", written);
    let form = form::program();
    written
        .iter()
        .filter_map(|tool| r.value("cli_tools", tool, &form))
        .collect()
}

fn policy(
    r: &mut Reader<'_>,
    at: &str,
    variables: bool,
    raw: &RawRetry,
    default: &RetryPolicy,
) -> RetryPolicy {
    let count = form::whole(0..=100);
    let delay = form::duration(Duration::ZERO..=30 * DAY);
    let time = |r: &mut Reader<'_>, name: &str, written: Option<&Text>, default: Duration| {
        find(r, variables, &format!("{at}.{name}"), written, &delay).unwrap_or(default)
    };
    let base_delay = time(r, "base_delay", raw.base_delay.as_ref(), default.base_delay);
    let max_delay = time(r, "max_delay", raw.max_delay.as_ref(), default.max_delay);
    let jitter = time(r, "jitter", raw.jitter.as_ref(), default.jitter);
    let hold_limit = time(r, "hold_limit", raw.hold_limit.as_ref(), default.hold_limit);
    if base_delay > max_delay {
        let text = format!(
            "`{at}.base_delay` ({}) must be at most `{at}.max_delay` ({})",
            form::spelled(base_delay),
            form::spelled(max_delay)
        );
        r.misfit(
            [&format!("{at}.base_delay"), &format!("{at}.max_delay")],
            text,
        );
    }
    let name = format!("{at}.max_retries");
    RetryPolicy {
        max_retries: find(r, variables, &name, raw.max_retries.as_ref(), &count)
            .unwrap_or(default.max_retries),
        base_delay,
        max_delay,
        jitter,
        hold_limit,
    }
}

fn find<T>(
    r: &mut Reader<'_>,
    variables: bool,
    name: &str,
    written: Option<&Text>,
    form: &Form<T>,
) -> Option<T> {
    if variables {
        r.setting(name, written, form)
    } else {
        let written = written?;
        r.stands_at(name, written);
        r.value(name, written, form)
    }
}

fn limits(r: &mut Reader<'_>, raw: &RawLimits) -> Limits {
    let default = Limits::default();
    // Redis itself takes at most 512 MiB in one value.
    let bytes = form::bytes(1024..=512 << 20);
    let depth = form::whole(1..=128);
    Limits {
        max_bytes: r
            .setting(
                "limits.max_message_bytes",
                raw.max_message_bytes.as_ref(),
                &bytes,
            )
            .unwrap_or(default.max_bytes),
        max_chain_bytes: r
            .setting(
                "limits.max_chain_bytes",
                raw.max_chain_bytes.as_ref(),
                &bytes,
            )
            .unwrap_or(default.max_chain_bytes),
        max_depth: r
            .setting("limits.max_depth", raw.max_depth.as_ref(), &depth)
            .unwrap_or(default.max_depth),
    }
}

fn liveness(r: &mut Reader<'_>, raw: &RawLiveness) -> Liveness {
    let default = Liveness::default();
    let time = form::duration(100 * MS..=3_600 * SECOND);
    let heartbeat_every = r
        .setting(
            "liveness.heartbeat_every",
            raw.heartbeat_every.as_ref(),
            &time,
        )
        .unwrap_or(default.heartbeat_every);
    let heartbeat_ttl = r
        .setting("liveness.heartbeat_ttl", raw.heartbeat_ttl.as_ref(), &time)
        .unwrap_or(default.heartbeat_ttl);
    // One late heartbeat must not be a death.
    if heartbeat_ttl < heartbeat_every * 2 {
        let text = format!(
            "`liveness.heartbeat_ttl` ({}) must be at least twice `liveness.heartbeat_every` ({})",
            form::spelled(heartbeat_ttl),
            form::spelled(heartbeat_every)
        );
        r.misfit(["liveness.heartbeat_every", "liveness.heartbeat_ttl"], text);
    }
    Liveness {
        heartbeat_every,
        heartbeat_ttl,
    }
}

fn retention(r: &mut Reader<'_>, raw: &RawRetention) -> Retention {
    let default = Retention::default();
    let time = form::duration(SECOND..=3_650 * DAY);
    let count = form::whole(1..=1_000_000_000);
    Retention {
        results: r
            .setting("retention.results", raw.results.as_ref(), &time)
            .unwrap_or(default.results),
        ids: r
            .setting("retention.ids", raw.ids.as_ref(), &time)
            .unwrap_or(default.ids),
        dead_letters: r
            .setting("retention.dead_letters", raw.dead_letters.as_ref(), &time)
            .unwrap_or(default.dead_letters),
        dead_letters_max: r
            .setting(
                "retention.dead_letters_max",
                raw.dead_letters_max.as_ref(),
                &count,
            )
            .unwrap_or(default.dead_letters_max),
        chains: r
            .setting("retention.chains", raw.chains.as_ref(), &time)
            .unwrap_or(default.chains),
        dead_letters_archive: r.setting(
            "retention.dead_letters_archive",
            raw.dead_letters_archive.as_ref(),
            &time,
        ),
        jobs: r.setting("retention.jobs", raw.jobs.as_ref(), &time),
        attempts: r.setting("retention.attempts", raw.attempts.as_ref(), &time),
        events_bad: r.setting("retention.events_bad", raw.events_bad.as_ref(), &time),
    }
}
