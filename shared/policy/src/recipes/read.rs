//! Reads a recipe as the configuration writes it.

use std::collections::BTreeMap;

use longshore_protocol::{
    chain::{Step, StepName},
    envelope::MessageLimits,
    recipe::RecipeName,
};
use longshore_settings::suggest::closest;
use serde_json::{Map, Value};

use super::{Parameter, Recipe, RecipeError};

/// The fields of the chain that a recipe may have; the others come from the job.
const CHAIN_FIELDS: &[&str] = &[
    "max_cost_usd",
    "deadline",
    "max_parallel",
    "fail_fast",
    "steps",
];

/// The fields of a recipe.
pub const FIELDS: &[&str] = &[
    "description",
    "parameters",
    "answer",
    "max_cost_usd",
    "deadline",
    "max_parallel",
    "fail_fast",
    "steps",
];

/// The fields of a parameter that is written as an object.
pub const PARAMETER_FIELDS: &[&str] = &["default", "description"];

impl Recipe {
    /// Reads a recipe and checks its chain with the defaults of its parameters. Errors are all faults.
    pub fn read(
        name: RecipeName,
        written: &Value,
        limits: &MessageLimits,
    ) -> Result<Self, Vec<String>> {
        let Value::Object(written) = written else {
            return Err(vec![
                "expected a map of `steps` and what else a recipe has".to_owned(),
            ]);
        };
        let mut faults = unknown_fields(written, FIELDS);
        let mut recipe = Self {
            name,
            description: text(written, "description", &mut faults),
            parameters: parameters(written.get("parameters"), &mut faults),
            answer: answering_steps(written.get("answer"), &mut faults),
            is_shipped: false,
            chain: chain_of(written),
            calls: Vec::new(),
            validated_by: None,
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let steps = recipe.checked_steps(limits)?;
        let mut validating = steps.iter().filter(|step| step.is_validation());
        recipe.validated_by = validating.next_back().map(|step| step.name.clone());
        let calls = steps.into_iter().filter_map(|step| {
            let call = step.work.recipe?;
            Some((step.name, call.name))
        });
        recipe.calls = calls.collect();
        Ok(recipe)
    }

    /// The steps with the defaults of the parameters, or what is wrong with the chain.
    fn checked_steps(&self, limits: &MessageLimits) -> Result<Vec<Step>, Vec<String>> {
        let expanded = self
            .example(&Map::new(), 1, limits)
            .map_err(|error| match error {
                RecipeError::Chain { faults, .. } => faults,
                other => vec![other.to_string()],
            })?;
        let steps = expanded.document.steps;
        let cannot_answer = |name: &&StepName| {
            let step = steps.iter().find(|step| step.name == **name);
            step.is_none_or(Step::has_items)
        };
        match self.answer.iter().find(cannot_answer) {
            None => Ok(steps),
            Some(name) => Err(vec![format!(
                "`answer`: expected a step that does not fan out, but got `{name}`"
            )]),
        }
    }
}

/// The steps of the field `answer`: a name or a list of names.
fn answering_steps(written: Option<&Value>, faults: &mut Vec<String>) -> Vec<StepName> {
    let names = match written {
        None | Some(Value::Null) => &[],
        Some(Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
    };
    let mut steps = Vec::new();
    for name in names {
        match name.as_str().map(StepName::parse) {
            Some(Ok(step)) => steps.push(step),
            Some(Err(error)) => faults.push(format!("`answer`: {error}")),
            None => faults.push(format!(
                "`answer`: expected the name of a step, or a list of names, but got {name}"
            )),
        }
    }
    steps
}

fn unknown_fields(written: &Map<String, Value>, known: &[&str]) -> Vec<String> {
    let unknown = written
        .keys()
        .filter(|name| !known.contains(&name.as_str()));
    unknown
        .map(|name| match closest(name, known.iter().copied()) {
            Some(near) => format!("`{name}` is not a field; did you mean `{near}`?"),
            None => format!(
                "`{name}` is not a field; expected one of {}",
                known.join(", ")
            ),
        })
        .collect()
}

fn text(written: &Map<String, Value>, name: &str, faults: &mut Vec<String>) -> Option<String> {
    match written.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => {
            faults.push(format!("`{name}`: expected text"));
            None
        }
    }
}

/// The parameters: each a default, or an object of `default` and `description`.
fn parameters(written: Option<&Value>, faults: &mut Vec<String>) -> BTreeMap<String, Parameter> {
    let members = match written {
        None | Some(Value::Null) => return BTreeMap::new(),
        Some(Value::Object(members)) => members,
        Some(_) => {
            faults.push("`parameters`: expected a map of names and defaults".to_owned());
            return BTreeMap::new();
        }
    };
    let mut parameters = BTreeMap::new();
    for (name, written) in members {
        // Templates read `parameters.NAME`.
        if StepName::parse(name).is_err() {
            faults.push(format!(
                "`parameters`: `{name}` is not a name; expected a letter or `_`, then letters, digits or `_`"
            ));
        }
        parameters.insert(name.clone(), parameter(name, written, faults));
    }
    parameters
}

fn parameter(name: &str, written: &Value, faults: &mut Vec<String>) -> Parameter {
    let Value::Object(members) = written else {
        return Parameter {
            default: Some(written.clone()),
            description: None,
        };
    };
    let at = |fault| format!("`parameters.{name}`: {fault}");
    faults.extend(
        unknown_fields(members, PARAMETER_FIELDS)
            .into_iter()
            .map(at),
    );
    Parameter {
        default: members.get("default").cloned(),
        description: text(members, "description", faults),
    }
}

/// The fields of the chain.
fn chain_of(written: &Map<String, Value>) -> Map<String, Value> {
    let members = written.iter();
    let known = members.filter(|(name, _)| CHAIN_FIELDS.contains(&name.as_str()));
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
