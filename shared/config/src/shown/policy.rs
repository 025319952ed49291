//! Retry policies, routing, budgets, dead letters and recurring jobs, one line each.

use longshore_policy::{
    gates::Gate,
    limits::{Budget, BudgetScope, Calendar, QueueLimits},
    replay::ReplayRule,
    routing::{Category, Preference, Rule},
    tools::{SecretPairs, ToolAction, ToolBounds, ToolDefinition, Workspace},
};
use longshore_protocol::{id::QueueName, platform::PlatformName};
use longshore_settings::duration::format_duration;
use url::Url;

use crate::{Config, dead_letters::when_form, table::RawRetry};

/// The named retry policies.
pub(crate) fn retries(config: &Config) -> Vec<(String, String)> {
    let settings = RawRetry::settings();
    let policies = config.retries.iter();
    policies
        .flat_map(|(name, policy)| settings.show_at(&format!("retries.{name}"), policy))
        .collect()
}

/// The routing rules that are set.
pub(crate) fn rules(config: &Config) -> Vec<(String, String)> {
    let rules = config.routing.rules.iter();
    let lines = rules.map(|one| (format!("routing.rules.{}", one.name), rule(one)));
    only_set(config, lines)
}

/// The categories that are set.
pub(crate) fn keywords(config: &Config) -> Vec<(String, String)> {
    let categories = config.routing.categories.iter();
    let lines = categories.map(|one| (format!("routing.keywords.{}", one.name), category(one)));
    only_set(config, lines)
}

/// The keys that encrypt what is stored, without their values.
pub(crate) fn encryption_keys(config: &Config) -> Vec<(String, String)> {
    let keys = config.keyring.key_ids();
    keys.map(|id| (format!("encryption.keys.{id}"), "set".to_owned()))
        .collect()
}

/// The key that encrypts.
pub(crate) fn encryption_current(config: &Config) -> Vec<(String, String)> {
    let current = config.keyring.current().map(ToString::to_string);
    let shown = current.unwrap_or_else(|| "none: nothing is encrypted".to_owned());
    vec![("encryption.current".to_owned(), shown)]
}

/// The words for tiers that are set.
pub(crate) fn tiers(config: &Config) -> Vec<(String, String)> {
    let tiers = config.routing.tiers.iter();
    let lines = tiers.map(|(word, tier)| (format!("routing.tiers.{word}"), tier.to_string()));
    only_set(config, lines)
}

/// The lines of settings that are set.
pub(super) fn only_set(
    config: &Config,
    lines: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    lines
        .filter(|(name, _)| config.origins.contains_key(name))
        .collect()
}

fn rule(rule: &Rule) -> String {
    let when = &rule.when;
    let conditions = [
        ("type", &when.types),
        ("risk", &when.risks),
        ("area", &when.areas),
        ("complexity", &when.complexities),
    ];
    let mut words: Vec<String> = conditions
        .into_iter()
        .filter(|(_, any)| !any.is_empty())
        .map(|(name, any)| format!("{name} {}", any.join(" ")))
        .collect();
    match &rule.prefer {
        Preference::Model(model) => words.push(format!("model {model}")),
        Preference::Able {
            platforms,
            tier,
            capability,
        } => {
            if !platforms.is_empty() {
                let names: Vec<&str> = platforms.iter().map(PlatformName::as_str).collect();
                words.push(format!("platform {}", names.join(" ")));
            }
            words.extend(tier.map(|tier| format!("tier {tier}")));
            words.extend(capability.map(|one| format!("capability {one}")));
        }
    }
    words.join(", ")
}

fn category(category: &Category) -> String {
    let names = |platforms: &[PlatformName]| {
        let names: Vec<&str> = platforms.iter().map(PlatformName::as_str).collect();
        names.join(" ")
    };
    let shown = format!(
        "words {}, platforms {}",
        category.words.join(" "),
        names(&category.platforms)
    );
    if category.validators.is_empty() {
        return shown;
    }
    format!("{shown}, validators {}", names(&category.validators))
}

/// The budgets.
pub(crate) fn budgets(config: &Config) -> Vec<(String, String)> {
    let budgets = config.budgets.iter();
    budgets
        .map(|one| (format!("budgets.{}", one.name), budget(one)))
        .collect()
}

/// The weights of tenants.
pub(crate) fn tenants(config: &Config) -> Vec<(String, String)> {
    let weights = config.tenants.weights.iter();
    weights
        .map(|(tenant, weight)| (format!("tenants.{tenant}.weight"), weight.to_string()))
        .collect()
}

/// The limits of queues.
pub(crate) fn queue_limits(config: &Config) -> Vec<(String, String)> {
    let show = |limits: &QueueLimits| {
        let limits = [
            ("max_concurrent", limits.max_concurrent),
            ("requests_per_minute", limits.requests_per_minute),
        ];
        let set = limits
            .into_iter()
            .filter_map(|(name, limit)| Some(format!("{name} {}", limit?)));
        set.collect::<Vec<String>>().join(", ")
    };
    let queues = config.queue_limits.iter();
    queues
        .map(|(queue, limits)| (format!("queue_limits.{queue}"), show(limits)))
        .collect()
}

/// The rules that replay dead letters.
pub(crate) fn replay_rules(config: &Config) -> Vec<(String, String)> {
    let rules = config.replay_rules.iter();
    rules
        .map(|one| (format!("dead_letters.replay.{}", one.name), replay(one)))
        .collect()
}

fn replay(rule: &ReplayRule) -> String {
    let filter = &rule.filter;
    let mut words = vec![format!("reasons {}", filter.reasons.join(" "))];
    let conditions = [
        ("type", filter.task_type.as_deref()),
        ("platform", filter.platform.as_deref()),
        ("tenant", filter.tenant.as_deref()),
        ("queue", filter.queue.as_ref().map(QueueName::as_str)),
    ];
    words.extend(
        conditions
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", value?))),
    );
    words.push(format!("when {}", when_form().format(&rule.when)));
    words.push(format!("per_minute {}", rule.per_minute));
    words.extend(filter.replays_below.map(|limit| format!("at_most {limit}")));
    words.join(", ")
}

/// The recipes that are set.
pub(crate) fn recipes(config: &Config) -> Vec<(String, String)> {
    let recipes = config.recipes.iter().map(|recipe| {
        let names: Vec<&str> = recipe.parameters.keys().map(String::as_str).collect();
        let value = match &recipe.description {
            Some(description) => description.clone(),
            None if names.is_empty() => "without parameters".to_owned(),
            None => format!("parameters {}", names.join(", ")),
        };
        (format!("recipes.{}", recipe.name), value)
    });
    only_set(config, recipes)
}

/// The files of recipes.
pub(crate) fn recipe_files(config: &Config) -> Vec<(String, String)> {
    vec![("recipe_files".to_owned(), config.recipe_files.join(", "))]
}

/// The recurring jobs.
pub(crate) fn cron(config: &Config) -> Vec<(String, String)> {
    let jobs = config.cron.iter();
    jobs.map(|(name, one)| {
        let job = serde_json::Value::Object(one.job.clone());
        let value = format!(
            "{}, missed {}, queue {}, job {job}",
            one.timing, one.missed, one.queue
        );
        (format!("cron.{name}"), value)
    })
    .collect()
}

fn budget(budget: &Budget) -> String {
    let scope = match &budget.scope {
        BudgetScope::Overall => "overall".to_owned(),
        BudgetScope::Provider(name) => format!("provider {name}"),
        BudgetScope::Tenant(Some(one)) => format!("tenant {one}"),
        BudgetScope::Tenant(None) => "each tenant".to_owned(),
        BudgetScope::Chain(Some(one)) => format!("chain {one}"),
        BudgetScope::Chain(None) => "each chain".to_owned(),
    };
    let mut words = vec![scope, format!("${} per {}", budget.limit, budget.period)];
    if budget.hard {
        words.push(format!("hard, at_limit {}", budget.at_limit));
    } else {
        words.push("soft".to_owned());
    }
    words.extend(calendar(&budget.calendar));
    words.join(", ")
}

/// What differs from the default calendar.
pub(super) fn calendar(calendar: &Calendar) -> Vec<String> {
    let default = Calendar::default();
    let mut words = Vec::new();
    if calendar.time_zone != default.time_zone {
        words.push(format!("time_zone {}", calendar.time_zone));
    }
    if calendar.reset_at != default.reset_at {
        words.push(format!("reset_at {}", calendar.reset_at.format("%H:%M")));
    }
    words
}

/// The gates, without the values of their variables.
pub(crate) fn gates(config: &Config) -> Vec<(String, String)> {
    let show = |gate: &Gate| {
        let mut parts = vec![
            gate.command.join(" "),
            format!("in {}", gate.working_dir.display()),
            format!("timeout {}", format_duration(gate.timeout)),
            format!("max_output {}", gate.max_output),
        ];
        parts.extend(gate.max_memory.map(|most| format!("max_memory {most}")));
        parts.extend(
            gate.warnings
                .as_ref()
                .map(|pattern| format!("warnings {}", pattern.as_str())),
        );
        let names: Vec<&str> = gate.env.keys().map(String::as_str).collect();
        if !names.is_empty() {
            parts.push(format!("env {}", names.join(" ")));
        }
        parts.join(", ")
    };
    let gates = config.gates.iter();
    gates
        .map(|(name, gate)| (format!("gates.{name}"), show(gate)))
        .collect()
}

/// The workspaces, without the values of their variables.
pub(crate) fn workspaces(config: &Config) -> Vec<(String, String)> {
    let show = |workspace: &Workspace| {
        let mut parts = vec![
            workspace.directory.display().to_string(),
            format!("max_file_bytes {}", workspace.max_file_bytes),
        ];
        parts.extend(tool_bounds(workspace.bounds));
        let commands: Vec<String> = workspace.run.iter().map(|words| words.join(" ")).collect();
        if !commands.is_empty() {
            parts.push(format!("run {}", commands.join("; ")));
        }
        parts.extend(secret_names("env", &workspace.env));
        parts.join(", ")
    };
    let workspaces = config.workspaces.iter();
    workspaces
        .map(|(name, workspace)| (format!("workspaces.{name}"), show(workspace)))
        .collect()
}

/// The tools, without the values of their variables and headers.
pub(crate) fn tools(config: &Config) -> Vec<(String, String)> {
    let show = |tool: &ToolDefinition| {
        let (mut parts, secrets) = match &tool.action {
            ToolAction::Command {
                command,
                working_dir,
                env,
            } => (
                vec![
                    format!("command {}", command.join(" ")),
                    format!("in {}", working_dir.display()),
                ],
                secret_names("env", env),
            ),
            ToolAction::Http {
                method,
                url,
                headers,
            } => (
                vec![format!("{method} {}", without_query(url))],
                secret_names("headers", headers),
            ),
        };
        parts.extend(tool_bounds(tool.bounds));
        parts.extend(secrets);
        parts.join(", ")
    };
    let tools = config.tools.iter();
    tools
        .map(|(name, tool)| (format!("tools.{name}"), show(tool)))
        .collect()
}

fn tool_bounds(bounds: ToolBounds) -> [String; 2] {
    [
        format!("timeout {}", format_duration(bounds.timeout)),
        format!("max_output {}", bounds.max_output),
    ]
}

fn secret_names(what: &str, secrets: &SecretPairs) -> Option<String> {
    let names = secrets.names();
    (!names.is_empty()).then(|| format!("{what} {}", names.join(" ")))
}

/// A query may contain a key.
fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}
