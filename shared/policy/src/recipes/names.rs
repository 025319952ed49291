//! Checks the names in recipes: models, platforms, categories, gates, tools and workspaces.

use longshore_protocol::{
    chain::{AUTO_CATEGORY, GateName, Models, Step, StepTools, ToolName, WorkspaceName},
    envelope::{MessageLimits, RawMessage, parse},
    recipe::RecipeName,
};
use longshore_settings::suggest::closest;
use serde_json::Map;

use super::{Recipes, expand::EXAMPLE};
use crate::{
    catalog::Catalog,
    gates::Gates,
    routing::Category,
    tools::{Tools, Workspaces},
};

/// What the steps of recipes may name. A part that is `None` is not checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct KnownNames<'a> {
    pub catalog: Option<&'a Catalog>,
    pub categories: Option<&'a [Category]>,
    pub gates: Option<&'a Gates>,
    pub tools: Option<&'a Tools>,
    pub workspaces: Option<&'a Workspaces>,
}

impl Recipes {
    /// What the recipes of the user name that is not known, by the defaults of their parameters; each with the recipe.
    pub fn check_names(
        &self,
        known: KnownNames<'_>,
        limits: &MessageLimits,
    ) -> Vec<(RecipeName, String)> {
        let own = self.iter().filter(|recipe| !recipe.is_shipped);
        let faults = own.flat_map(|recipe| {
            // Other faults are reported where the recipe is read.
            let example = recipe.example(&Map::new(), 1, limits).ok();
            let steps = example.map(|example| example.document.steps);
            let steps = steps.unwrap_or_default();
            let faults: Vec<String> = steps
                .iter()
                .flat_map(|step| known.faults_of(step, limits))
                .collect();
            faults.into_iter().map(|fault| (recipe.name.clone(), fault))
        });
        faults.collect()
    }
}

impl KnownNames<'_> {
    fn faults_of(self, step: &Step, limits: &MessageLimits) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(step.gate.as_ref().and_then(|name| self.gate(name)));
        if let Some(tools) = &step.tools {
            faults.extend(self.tools_of(tools));
        }
        match &step.models {
            Some(Models::Category(name)) => faults.extend(self.category(name)),
            Some(Models::Named(names)) => {
                faults.extend(names.iter().filter_map(|name| self.platform_or_model(name)));
            }
            _ => {}
        }
        faults.extend(self.of_job(&step.work.job, limits));
        faults
            .into_iter()
            .map(|fault| format!("step `{}`: {fault}", step.name))
            .collect()
    }

    fn gate(self, name: &GateName) -> Option<String> {
        let known = self.gates?.keys().map(GateName::as_str);
        unknown("gate", "gates", name.as_str(), known)
    }

    fn tools_of(self, tools: &StepTools) -> Vec<String> {
        let workspace = tools.workspace.as_ref().and_then(|name| {
            let known = self.workspaces?.keys().map(WorkspaceName::as_str);
            unknown("workspace", "workspaces", name.as_str(), known)
        });
        let names = tools.names.iter().filter_map(|name| {
            if tools.workspace.is_some() && name.of_workspace().is_some() {
                return None;
            }
            let known = self.tools?.keys().map(ToolName::as_str);
            unknown("tool", "tools", name.as_str(), known)
        });
        workspace.into_iter().chain(names).collect()
    }

    fn category(self, name: &str) -> Option<String> {
        let known = self.categories?.iter().map(|known| known.name.as_str());
        let known = known.chain([AUTO_CATEGORY]);
        unknown("category", "routing.keywords", name, known)
    }

    fn platform_or_model(self, name: &str) -> Option<String> {
        let catalog = self.catalog?;
        if name == EXAMPLE || catalog.platform(name).is_some() {
            return None;
        }
        let error = catalog.require_model(name).err()?;
        let platforms = catalog.providers.iter().map(|known| known.name.as_str());
        Some(match closest(name, platforms) {
            Some(near) => format!("there is no platform or model `{name}`; did you mean `{near}`?"),
            None => error.to_string(),
        })
    }

    /// The platform and the model that the job of a step names.
    fn of_job(self, job: &str, limits: &MessageLimits) -> Vec<String> {
        let message = RawMessage {
            fields: vec![(b"job".to_vec(), job.as_bytes().to_vec())],
        };
        let (Some(catalog), Ok(parsed)) = (self.catalog, parse(&message, limits)) else {
            return Vec::new();
        };
        let platform = parsed.envelope.platform.filter(|name| name != EXAMPLE);
        let platform = platform.and_then(|name| {
            catalog.platform(&name).is_none().then(|| {
                let known = catalog.providers.iter().map(|known| known.name.as_str());
                unknown("platform", "providers", &name, known)
            })?
        });
        let model = parsed.envelope.model.filter(|name| name != EXAMPLE);
        let model = model.and_then(|name| Some(catalog.require_model(&name).err()?.to_string()));
        platform.into_iter().chain(model).collect()
    }
}

/// The fault, unless the name is known; `section` is where the configuration has such names.
fn unknown<'a>(
    what: &str,
    section: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let known: Vec<&str> = known.collect();
    if name == EXAMPLE || known.contains(&name) {
        return None;
    }
    let hint = match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("add it under `{section}`"),
        None => format!("expected one of {}", known.join(", ")),
    };
    Some(format!("there is no {what} `{name}`; {hint}"))
}
