//! Routing and spending, each setting in one line.

use longshore_policy::{
    limits::{Budget, Calendar, Scope},
    replay::{ReplayRule, ReplayWhen},
    routing::{Category, Preference, Rule},
};
use longshore_protocol::{id::QueueName, platform::PlatformName};
use longshore_settings::form::spelled;
use url::Url;

use super::{Config, named};

/// The section `routing:`.
pub(super) fn routing(config: &Config) -> Vec<(String, String)> {
    let routing = &config.routing;
    let most = routing.max_cost_per_task.map(|most| most.to_string());
    let fallback = routing.fallback_provider.as_ref().map(ToString::to_string);
    let mut list = named([
        ("routing.default_rules", routing.default_rules.to_string()),
        ("routing.prefer_local", routing.prefer_local.to_string()),
        (
            "routing.max_cost_per_task",
            most.unwrap_or_else(|| "none".to_owned()),
        ),
        (
            "routing.fallback_provider",
            fallback.unwrap_or_else(|| "the cheapest".to_owned()),
        ),
        (
            "routing.estimate_threshold",
            routing.estimate_threshold.to_string(),
        ),
    ]);
    let rules = routing.rules.iter().map(|one| {
        let name = format!("routing.rules.{}", one.name);
        (name, rule(one))
    });
    let categories = routing.categories.iter().map(|one| {
        let name = format!("routing.keywords.{}", one.name);
        (name, category(one))
    });
    let tiers = routing
        .tiers
        .iter()
        .map(|(word, tier)| (format!("routing.tiers.{word}"), tier.to_string()));
    let own = rules.chain(categories).chain(tiers);
    list.extend(own.filter(|(name, _)| config.origins.contains_key(name)));
    list
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
    let names: Vec<&str> = category
        .platforms
        .iter()
        .map(PlatformName::as_str)
        .collect();
    format!(
        "words {}, platforms {}",
        category.words.join(" "),
        names.join(" ")
    )
}

/// Budgets, tenants' shares, alerts, webhooks and circuit breakers.
pub(super) fn spending(config: &Config) -> Vec<(String, String)> {
    let budgets = config.budgets.iter().map(|one| {
        let name = format!("budgets.{}", one.name);
        (name, budget(one))
    });
    let mut list: Vec<(String, String)> = budgets.collect();
    let weights = config.tenants.weights.iter();
    list.extend(weights.map(|(tenant, weight)| {
        let name = format!("tenants.{tenant}.weight");
        (name, weight.to_string())
    }));
    let alerts: Vec<String> = config.alerts.at.iter().map(u8::to_string).collect();
    // The path may be a secret.
    let webhook = config.alerts.webhook.as_ref().and_then(Url::host_str);
    let webhooks = &config.webhooks;
    let hosts: Vec<String> = webhooks.hosts.iter().map(ToString::to_string).collect();
    let secret = webhooks.secret.as_ref().map_or("not set", |_| "set");
    let circuit = &config.circuit;
    list.extend(named([
        ("alerts.at", alerts.join(", ")),
        ("alerts.webhook", webhook.unwrap_or("off").to_owned()),
        ("webhooks.hosts", hosts.join(", ")),
        ("webhooks.secret", secret.to_owned()),
        ("webhooks.timeout", spelled(webhooks.timeout)),
        ("circuit.error_percent", circuit.error_percent.to_string()),
        ("circuit.min_calls", circuit.min_calls.to_string()),
        ("circuit.window", spelled(circuit.window)),
        ("circuit.cooldown", spelled(circuit.cooldown)),
        ("circuit.max_cooldown", spelled(circuit.max_cooldown)),
    ]));
    list
}

/// The rules by which dead letters are replayed.
pub(super) fn replaying(config: &Config) -> Vec<(String, String)> {
    let rules = config.replay_rules.iter().map(|one| {
        let name = format!("dead_letters.replay.{}", one.name);
        (name, replay(one))
    });
    rules.collect()
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
    words.push(match rule.when {
        ReplayWhen::Healthy => "when healthy".to_owned(),
        ReplayWhen::After(time) => format!("when after {}", spelled(time)),
    });
    words.push(format!("per_minute {}", rule.per_minute));
    words.extend(filter.replays_below.map(|most| format!("at_most {most}")));
    words.join(", ")
}

/// The recurring jobs.
pub(super) fn cron(config: &Config) -> impl Iterator<Item = (String, String)> {
    config.cron.iter().map(|(name, one)| {
        let job = serde_json::Value::Object(one.job.clone());
        let value = format!(
            "{}, missed {}, queue {}, job {job}",
            one.timing, one.missed, one.queue
        );
        (format!("cron.{name}"), value)
    })
}

fn budget(budget: &Budget) -> String {
    let whose = match &budget.scope {
        Scope::Overall => "overall".to_owned(),
        Scope::Provider(name) => format!("provider {name}"),
        Scope::Tenant(Some(one)) => format!("tenant {one}"),
        Scope::Tenant(None) => "each tenant".to_owned(),
        Scope::Chain(Some(one)) => format!("chain {one}"),
        Scope::Chain(None) => "each chain".to_owned(),
    };
    let mut words = vec![whose, format!("${} per {}", budget.limit, budget.period)];
    if budget.hard {
        words.push(format!("hard, at_limit {}", budget.at_limit));
    } else {
        words.push("soft".to_owned());
    }
    words.extend(calendar(&budget.calendar));
    words.join(", ")
}

/// What is other than by default.
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
