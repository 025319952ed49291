//! The parts of the configuration in the order of the reference and of `config show`.

use longshore_policy::catalog::Catalog;

use crate::{
    Config,
    routing::{Known, provider_form},
    section::{Description, Section, Structured},
    shown::{self, Shown},
    table::{
        File, RawAlerts, RawCircuit, RawDatabase, RawDeadLetters, RawEncryption, RawLimits,
        RawLiveness, RawRedis, RawRetention, RawRetry, RawRouting, RawWebhooks,
    },
};

/// A part of the configuration.
pub(crate) enum Part {
    /// Plain settings.
    Settings(Box<dyn ConfigSection>),
    /// A structured setting: its row of the reference, and its entries with their values for people.
    Entries {
        description: Option<Description>,
        show: fn(&Config) -> Vec<(String, String)>,
    },
}

/// Plain settings in a configuration.
pub(crate) trait ConfigSection {
    fn show(&self, config: &Config) -> Vec<(String, String)>;
    fn describe(&self, defaults: &Config) -> Vec<Description>;
    fn keep_startup_settings(&self, running: &Config, new: &mut Config) -> Vec<(String, bool)>;
}

impl Config {
    /// Every setting, in the order of the reference. Models, rules, keywords and tiers are listed only if
    /// they are set.
    pub fn shown(&self) -> Vec<Shown> {
        parts(&self.catalog)
            .into_iter()
            .flat_map(|part| match part {
                Part::Settings(section) => section.show(self),
                Part::Entries { show, .. } => show(self),
            })
            .map(|(name, value)| Shown {
                origin: self.origins.get(&name).cloned(),
                name,
                value,
            })
            .collect()
    }
}

/// The parts; `catalog` has the providers that settings may name.
pub(crate) fn parts(catalog: &Catalog) -> Vec<Part> {
    let known = Known {
        catalog,
        is_sound: true,
    };
    let providers = provider_form(known);
    vec![
        settings(File::process(), |config| config, |config| config),
        settings(
            RawRedis::settings(),
            |config| &config.redis_access,
            |config| &mut config.redis_access,
        ),
        settings(RawDatabase::settings(), |config| config, |config| config),
        settings(
            RawRetry::settings(),
            |config| &config.retry,
            |config| &mut config.retry,
        ),
        entries::<File>("", "retries", shown::retries),
        settings(
            RawLimits::settings(),
            |config| &config.limits,
            |config| &mut config.limits,
        ),
        settings(
            RawLiveness::settings(),
            |config| &config.liveness,
            |config| &mut config.liveness,
        ),
        settings(
            RawRetention::settings(),
            |config| &config.retention,
            |config| &mut config.retention,
        ),
        settings(
            RawRouting::settings(providers),
            |config| &config.routing,
            |config| &mut config.routing,
        ),
        entries::<RawRouting>("routing", "rules", shown::rules),
        entries::<RawRouting>("routing", "keywords", shown::keywords),
        entries::<RawRouting>("routing", "tiers", shown::tiers),
        settings(File::catalog(), |config| config, |config| config),
        entries::<File>("", "model_files", shown::model_files),
        entries::<File>("", "providers", shown::providers),
        entries::<File>("", "models", shown::models),
        entries::<File>("", "budgets", shown::budgets),
        entries::<File>("", "tenants", shown::tenants),
        entries::<File>("", "queue_limits", shown::queue_limits),
        settings(
            RawAlerts::settings(),
            |config| &config.alerts,
            |config| &mut config.alerts,
        ),
        settings(
            RawWebhooks::settings(),
            |config| &config.webhooks,
            |config| &mut config.webhooks,
        ),
        settings(
            RawCircuit::settings(),
            |config| &config.circuit,
            |config| &mut config.circuit,
        ),
        entries::<RawEncryption>("encryption", "keys", shown::encryption_keys),
        entries::<RawEncryption>("encryption", "current", shown::encryption_current),
        entries::<RawDeadLetters>("dead_letters", "replay", shown::replay_rules),
        entries::<File>("", "cron", shown::cron),
        entries::<File>("", "recipes", shown::recipes),
        entries::<File>("", "recipe_files", shown::recipe_files),
        entries::<File>("", "gates", shown::gates),
        entries::<File>("", "workspaces", shown::workspaces),
        entries::<File>("", "tools", shown::tools),
    ]
}

fn settings<R: 'static, T: 'static>(
    section: Section<R, T>,
    target: fn(&Config) -> &T,
    target_mut: fn(&mut Config) -> &mut T,
) -> Part {
    Part::Settings(Box::new(InConfig {
        section,
        target,
        target_mut,
    }))
}

fn entries<R: Structured>(
    path: &'static str,
    name: &str,
    show: fn(&Config) -> Vec<(String, String)>,
) -> Part {
    let field = R::FIELDS.iter().find(|field| field.name == name);
    Part::Entries {
        description: field.map(|field| field.describe(path)),
        show,
    }
}

/// A section whose target is a part of the configuration.
struct InConfig<R, T> {
    section: Section<R, T>,
    target: fn(&Config) -> &T,
    target_mut: fn(&mut Config) -> &mut T,
}

impl<R, T> ConfigSection for InConfig<R, T> {
    fn show(&self, config: &Config) -> Vec<(String, String)> {
        self.section.show((self.target)(config))
    }

    fn describe(&self, defaults: &Config) -> Vec<Description> {
        self.section.describe((self.target)(defaults))
    }

    fn keep_startup_settings(&self, running: &Config, new: &mut Config) -> Vec<(String, bool)> {
        let running = (self.target)(running);
        self.section
            .keep_startup_settings(running, (self.target_mut)(new))
    }
}
