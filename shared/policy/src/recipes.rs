//! Recipes: named chains with parameters. The configuration defines them; some are shipped.

mod expand;
mod explain;
mod names;
mod read;
mod shipped;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use longshore_protocol::{
    chain::{Document, StepName, parse_recipe, template::RecipeInputs},
    envelope::MessageLimits,
    recipe::{MAX_NESTED, RecipeName},
};
use longshore_settings::suggest::closest;
use serde_json::{Map, Value};

use self::expand::{EXAMPLE, Purpose, example_job, fill_in};
pub use self::{
    explain::{ExplainedStep, Explainer, Explanation},
    names::KnownNames,
    read::{FIELDS, PARAMETER_FIELDS},
    shipped::shipped,
};

/// A named chain with parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub name: RecipeName,
    /// What it does, for people.
    pub description: Option<String>,
    pub parameters: BTreeMap<String, Parameter>,
    /// The steps whose answer is that of the job: the first of them that completed; empty: the last step.
    pub answer: Vec<StepName>,
    /// Whether Longshore ships it.
    pub is_shipped: bool,
    /// The chain, before the parameters are filled in.
    chain: Map<String, Value>,
    /// The recipes that its steps call with the defaults of its parameters, each with the step.
    calls: Vec<(StepName, RecipeName)>,
    /// The last step that checks an answer: its validation is that of the job.
    pub validated_by: Option<StepName>,
}

/// A parameter of a recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its value if a job gives none. Without a default, every job gives it.
    pub default: Option<Value>,
    /// What it means, for people.
    pub description: Option<String>,
}

/// Why a recipe cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    #[error("there is no recipe `{name}`{hint}; known: {known}")]
    Unknown {
        name: String,
        hint: String,
        known: String,
    },
    #[error("recipe `{name}`: {}", faults.join("; "))]
    Parameters {
        name: RecipeName,
        faults: Vec<String>,
    },
    #[error("recipe `{name}`: {}", faults.join("; "))]
    Chain {
        name: RecipeName,
        faults: Vec<String>,
    },
}

/// A recipe whose parameters are filled in: a chain that can start.
#[derive(Debug, Clone, PartialEq)]
pub struct Expanded {
    /// The document, as JSON.
    pub text: String,
    pub document: Document,
}

impl Recipe {
    /// The values of all parameters: those of a job, and defaults for the others. Errors name every wrong one. Whether a
    /// value fits is decided where the chain uses it.
    pub fn parameters(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, RecipeError> {
        let mut faults = Vec::new();
        for name in given
            .keys()
            .filter(|name| !self.parameters.contains_key(*name))
        {
            let near = closest(name, self.parameters.keys().map(String::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?"));
            faults.push(format!(
                "it has no parameter `{name}`{}",
                hint.unwrap_or_else(|| self.known_parameters())
            ));
        }
        let mut values = Map::new();
        for (name, parameter) in &self.parameters {
            match given.get(name).or(parameter.default.as_ref()) {
                Some(value) => {
                    values.insert(name.clone(), value.clone());
                }
                None => faults.push(format!("it needs the parameter `{name}`")),
            }
        }
        if faults.is_empty() {
            Ok(values)
        } else {
            let name = self.name.clone();
            Err(RecipeError::Parameters { name, faults })
        }
    }

    fn known_parameters(&self) -> String {
        if self.parameters.is_empty() {
            return "; it has none".to_owned();
        }
        let names: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
        format!("; expected one of {}", names.join(", "))
    }

    /// Fills in what the recipe knows before it starts. Prompts and conditions are filled in when their step runs.
    pub fn expand(
        &self,
        inputs: &RecipeInputs,
        limits: &MessageLimits,
    ) -> Result<Expanded, RecipeError> {
        self.filled_in(inputs, Purpose::Run, limits)
    }

    /// The chain of a round as an example: with these values of parameters, defaults for the others, and a job that says
    /// nothing but a prompt.
    pub fn example(
        &self,
        given: &Map<String, Value>,
        round: u32,
        limits: &MessageLimits,
    ) -> Result<Expanded, RecipeError> {
        self.as_example(&self.example_inputs(given, round)?, limits)
    }

    /// What the steps of an example read.
    fn example_inputs(
        &self,
        given: &Map<String, Value>,
        round: u32,
    ) -> Result<RecipeInputs, RecipeError> {
        let mut parameters = given.clone();
        for (name, parameter) in &self.parameters {
            if parameter.default.is_none() {
                parameters
                    .entry(name.clone())
                    .or_insert_with(|| EXAMPLE.into());
            }
        }
        Ok(RecipeInputs {
            job: example_job(),
            parameters: self.parameters(&parameters)?,
            round,
        })
    }

    /// The chain, where what cannot be filled in stands as an example.
    fn as_example(
        &self,
        inputs: &RecipeInputs,
        limits: &MessageLimits,
    ) -> Result<Expanded, RecipeError> {
        self.filled_in(inputs, Purpose::Check, limits)
    }

    fn filled_in(
        &self,
        inputs: &RecipeInputs,
        purpose: Purpose,
        limits: &MessageLimits,
    ) -> Result<Expanded, RecipeError> {
        let (chain, mut faults) = fill_in(&self.chain, inputs, purpose);
        let text = Value::Object(chain).to_string();
        match parse_recipe(&text, limits) {
            Ok(document) if faults.is_empty() => Ok(Expanded { text, document }),
            parsed => {
                let further = parsed.err().map(|wrong| wrong.faults).unwrap_or_default();
                faults.extend(further.iter().map(ToString::to_string));
                let name = self.name.clone();
                Err(RecipeError::Chain { name, faults })
            }
        }
    }
}

/// All recipes of a configuration, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recipes(BTreeMap<RecipeName, Arc<Recipe>>);

impl Recipes {
    pub fn get(&self, name: &RecipeName) -> Option<&Arc<Recipe>> {
        self.0.get(name)
    }

    /// The recipe of this name, or an error that names those that there are.
    pub fn find(&self, name: &RecipeName) -> Result<&Arc<Recipe>, RecipeError> {
        self.get(name).ok_or_else(|| {
            let names = || self.0.keys().map(RecipeName::as_str);
            let near = closest(name.as_str(), names());
            RecipeError::Unknown {
                name: name.to_string(),
                hint: near.map_or_else(String::new, |near| format!("; did you mean `{near}`?")),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Recipe>> {
        self.0.values()
    }

    /// Adds a recipe; one of the same name is replaced and returned.
    pub fn insert(&mut self, recipe: Recipe) -> Option<Arc<Recipe>> {
        self.0.insert(recipe.name.clone(), Arc::new(recipe))
    }

    /// Sets the default of a parameter, if there is such a recipe.
    pub fn set_default(&mut self, recipe: &str, parameter: &str, value: Value) {
        let mut recipes = self.0.values_mut();
        let found = recipes.find(|known| known.name.as_str() == recipe);
        if let Some(parameter) =
            found.and_then(|known| Arc::make_mut(known).parameters.get_mut(parameter))
        {
            parameter.default = Some(value);
        }
    }

    /// What is wrong with the calls between recipes: unknown ones, circles, and more than [`MAX_NESTED`] levels. Each
    /// with the recipe that is at fault.
    pub fn check_calls(&self) -> Vec<(RecipeName, String)> {
        let mut faults = Vec::new();
        for (name, recipe) in &self.0 {
            for (step, callee) in &recipe.calls {
                if let Err(unknown) = self.find(callee) {
                    faults.push((name.clone(), format!("step `{step}`: {unknown}")));
                }
            }
            let mut path = vec![name.clone()];
            if let Some(fault) = self.deepest(&mut path, &mut BTreeSet::new()) {
                faults.push((name.clone(), fault));
            }
        }
        faults
    }

    /// Follows the calls from the end of the path; says so if they lead back to its start, or too deep. `seen` are the recipes
    /// that were followed at the same depth before.
    fn deepest(
        &self,
        path: &mut Vec<RecipeName>,
        seen: &mut BTreeSet<(usize, RecipeName)>,
    ) -> Option<String> {
        let last = self.get(path.last()?)?;
        for (_, callee) in &last.calls {
            let shown = |path: &[RecipeName]| {
                let names: Vec<&str> = path
                    .iter()
                    .map(RecipeName::as_str)
                    .chain([callee.as_str()])
                    .collect();
                names.join(" → ")
            };
            if path.first() == Some(callee) {
                return Some(format!(
                    "recipes call one another in a circle: {}",
                    shown(path)
                ));
            }
            if path.len() >= usize::try_from(MAX_NESTED).unwrap_or(usize::MAX) {
                return Some(format!(
                    "recipes call one another more than {MAX_NESTED} deep: {}",
                    shown(path)
                ));
            }
            if !path.contains(callee) && seen.insert((path.len(), callee.clone())) {
                path.push(callee.clone());
                let found = self.deepest(path, seen);
                path.pop();
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}
