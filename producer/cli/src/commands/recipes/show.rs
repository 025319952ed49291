//! `longshore recipes show`.

use longshore_config::Config;
use longshore_policy::recipes::{Recipe, RecipeError};
use longshore_protocol::{
    chain::{Document, Step, StepName},
    recipe::RecipeName,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::recipe_name;
use crate::{
    error::{CommandError, Exit},
    output::Format,
};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    /// Name of the recipe
    #[arg(value_name = "NAME", value_parser = recipe_name)]
    name: RecipeName,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The JSON of a recipe.
#[derive(Debug, Serialize)]
struct View<'a> {
    name: &'a str,
    description: Option<&'a str>,
    shipped: bool,
    parameters: Vec<ParameterView<'a>>,
    answer: Vec<&'a str>,
    /// The chain with the defaults of the parameters.
    chain: Value,
}

#[derive(Debug, Serialize)]
struct ParameterView<'a> {
    name: &'a str,
    default: Option<&'a Value>,
    description: Option<&'a str>,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<Exit, CommandError> {
    let wrong = |error: RecipeError| CommandError::Input(error.to_string());
    let recipe = config.recipes.find(&arguments.name).map_err(wrong)?;
    let example = recipe
        .example(&Map::new(), 1, &config.limits)
        .map_err(wrong)?;
    let view = View::new(
        recipe,
        serde_json::from_str(&example.text).unwrap_or_default(),
    );
    arguments
        .format
        .print_with(&view, || view.to_text(&example.document));
    Ok(Exit::Success)
}

impl<'a> View<'a> {
    fn new(recipe: &'a Recipe, chain: Value) -> Self {
        let parameters = recipe
            .parameters
            .iter()
            .map(|(name, parameter)| ParameterView {
                name,
                default: parameter.default.as_ref(),
                description: parameter.description.as_deref(),
            });
        Self {
            name: recipe.name.as_str(),
            description: recipe.description.as_deref(),
            shipped: recipe.is_shipped,
            parameters: parameters.collect(),
            answer: recipe.answer.iter().map(StepName::as_str).collect(),
            chain,
        }
    }

    fn to_text(&self, document: &Document) -> String {
        let mut text = match self.description {
            Some(description) => format!("{}: {description}", self.name),
            None => self.name.to_owned(),
        };
        if !self.parameters.is_empty() {
            text.push_str("\n\nParameters:");
        }
        for parameter in &self.parameters {
            text.push_str("\n  ");
            text.push_str(&parameter.to_text());
        }
        text.push_str("\n\nSteps:");
        for step in &document.steps {
            let is_answer = self.answer.contains(&step.name.as_str());
            let mark = if is_answer { " (the answer)" } else { "" };
            let line = format!("\n  {}: {}{mark}", step.name, described(step));
            text.push_str(&line);
        }
        text
    }
}

impl ParameterView<'_> {
    fn to_text(&self) -> String {
        let default = match self.default {
            Some(default) => format!("default {default}"),
            None => "required".to_owned(),
        };
        match self.description {
            Some(words) => format!("{}: {default}. {words}", self.name),
            None => format!("{}: {default}", self.name),
        }
    }
}

/// What a step does, and what it waits for.
fn described(step: &Step) -> String {
    let mut words = Vec::new();
    if let Some(models) = &step.models {
        words.push(format!("asks {models}"));
    }
    if let Some(call) = &step.work.recipe {
        words.push(format!("recipe {}", call.name));
    }
    if let Some(of) = &step.merge {
        words.push(format!("merges {} by {}", of.asked, of.merge.kind()));
    }
    if let Some(gate) = &step.gate {
        words.push(format!("runs the gate {gate}"));
    }
    if let Some(validate) = &step.validate {
        words.push(format!("checks {}", validate.of));
        if !validate.asks_a_model {
            words.push("asks no model".to_owned());
        }
    }
    if step.person.is_some() {
        words.push("asks a person".to_owned());
    }
    if words.is_empty() {
        words.push("asks one model".to_owned());
    }
    if let Some(not_by) = &step.not_by {
        words.push(format!("not by {not_by}"));
    }
    if let Some(list) = &step.foreach {
        words.push(format!("for each of {list}"));
    }
    if let Some(when) = &step.when {
        words.push(format!("when {when}"));
    }
    let needs: Vec<&str> = step.needs.iter().map(StepName::as_str).collect();
    if !needs.is_empty() {
        words.push(format!("after {}", needs.join(", ")));
    }
    words.join(", ")
}
