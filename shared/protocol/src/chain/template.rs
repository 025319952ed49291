//! Templates of chains: they build prompts from the answers of other steps, decide whether a step runs,
//! and list the items of a fan-out.
//!
//! They are minijinja templates, restricted to reading and joining texts (module `syntax`): any producer may
//! write one, and none may block a worker.

mod environment;
mod failure;
mod syntax;
#[cfg(test)]
mod tests;
mod values;
mod work;

use std::{collections::BTreeMap, io};

use minijinja::{Value as Text, value::ValueKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use self::{
    syntax::{Uses, uses, uses_of_expression},
    values::{OF_MANY, OF_ONE},
};
use super::{ChainId, Person, StepName};
use crate::{
    call::{ChatMessage, Role},
    envelope::Envelope,
    outcome::Outcome,
};

/// The most items that a step may fan out to.
pub const MAX_ITEMS: usize = 10_000;

/// The longest text that a template may produce, in bytes.
pub const MAX_RENDERED_BYTES: usize = 16 * 1024 * 1024;

/// Why a template gives no text, a condition no answer, or an expression no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

/// The values that the templates of a step can read.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateScope {
    pub chain: ChainId,
    /// The chain's display name.
    pub chain_name: Option<String>,
    /// The steps that the templates read.
    pub steps: BTreeMap<StepName, StepAnswers>,
    /// The item, if the step has fanned out.
    pub item: Option<Value>,
    /// The item's index in the list, from 0.
    pub index: Option<u32>,
    /// The step whose items are `gathered`; one of `steps`.
    pub gather: Option<StepName>,
    /// What the templates of a recipe read besides.
    pub recipe: Option<RecipeScope>,
}

/// What the templates of a recipe read of the job that called it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecipeScope {
    pub inputs: RecipeInputs,
    /// The steps of the round before that the templates read; `None` in the first round.
    pub last: Option<BTreeMap<StepName, StepAnswers>>,
}

/// What a recipe knows of the job that called it. Stored once for all steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RecipeInputs {
    /// The fields of the job, such as `prompt` and `metadata`.
    pub job: Map<String, Value>,
    /// The parameters, with their defaults.
    pub parameters: Map<String, Value>,
    /// The number of the round, from 1.
    pub round: u32,
}

/// The outcomes of a step.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a scope holds a few of them, and none is moved about"
)]
pub enum StepAnswers {
    /// A step that does not fan out; `None` if it has not ended.
    One(Option<Outcome>),
    /// A fanned-out step: the outcomes of its items with their indexes.
    Many(Vec<(u32, Outcome)>),
}

impl TemplateScope {
    /// Renders a template.
    pub fn render(&self, template: &str) -> Result<String, TemplateError> {
        self.rendered(template, &values::of_scope(self))
    }

    fn rendered(&self, template: &str, values: &Text) -> Result<String, TemplateError> {
        uses(template).map_err(|faults| TemplateError(faults.join("; ")))?;
        let mut text = Bounded(Vec::new());
        let render = || {
            environment::of_templates()
                .template_from_str(template)
                .and_then(|parsed| parsed.render_captured_to(values, &mut text).map(|_| ()))
        };
        work::limited(render).map_err(|error| self.failure(&error, template))?;
        String::from_utf8(text.0).map_err(|error| TemplateError(error.to_string()))
    }

    /// Evaluates a condition.
    pub fn holds(&self, condition: &str) -> Result<bool, TemplateError> {
        self.value_of(condition).map(|value| value.is_true())
    }

    /// Evaluates an expression.
    pub fn value(&self, expression: &str) -> Result<Value, TemplateError> {
        let value = self.value_of(expression)?;
        serde_json::to_value(value).map_err(|error| TemplateError(error.to_string()))
    }

    /// Evaluates a list expression.
    pub fn list(&self, expression: &str) -> Result<Vec<Value>, TemplateError> {
        let value = self.value_of(expression)?;
        if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
            return Err(TemplateError(format!(
                "expected a list, but `{expression}` is a {}",
                value.kind()
            )));
        }
        let items = value
            .try_iter()
            .map_err(|error| self.failure(&error, expression))?;
        let list: Result<Vec<Value>, _> = items
            .take(MAX_ITEMS + 1)
            .map(|item| {
                serde_json::to_value(item).map_err(|error| TemplateError(error.to_string()))
            })
            .collect();
        match list {
            Ok(list) if list.len() > MAX_ITEMS => Err(TemplateError(format!(
                "expected at most {MAX_ITEMS} items, but `{expression}` has more"
            ))),
            list => list,
        }
    }

    fn value_of(&self, expression: &str) -> Result<Text, TemplateError> {
        uses_of_expression(expression).map_err(|faults| TemplateError(faults.join("; ")))?;
        let evaluate = || {
            environment::of_templates()
                .compile_expression(expression)
                .and_then(|parsed| parsed.eval(values::of_scope(self)))
        };
        let value = work::limited(evaluate).map_err(|error| self.failure(&error, expression))?;
        if value.is_undefined() {
            return Err(self.nothing_at(expression));
        }
        Ok(value)
    }
}

/// A writer that stops at the longest text allowed.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MAX_RENDERED_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) use values::json_of;

/// Whether a text is a template.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The expression of a template that is nothing but one: `x` of `{{ x }}`.
pub fn only_expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let is_alone = !inside.contains("{{") && !inside.contains("}}") && !inside.contains("{%");
    is_alone.then(|| inside.trim_matches('-').trim())
}

/// Whether a template reads nothing but `job`, `parameters` and `round`: what a recipe knows before it starts. An error
/// lists what is wrong with it.
pub fn reads_only_inputs(text: &str) -> Result<bool, String> {
    let found = uses(text).map_err(|faults| faults.join("; "))?;
    Ok(found.inputs
        && found.fields.is_empty()
        && !found.item
        && !found.gathered
        && !found.reads_last)
}

/// Checks the syntax of an expression, and what it may contain.
pub(crate) fn check_expression(expression: &str) -> Result<(), String> {
    let checked = uses_of_expression(expression).map(|_| ());
    checked.map_err(|faults| faults.join("; "))
}

/// The steps that a condition reads; empty if it is invalid.
pub fn steps_of_expression(expression: &str) -> Vec<StepName> {
    let found = uses_of_expression(expression).unwrap_or_default();
    found.steps().cloned().collect()
}

/// The texts of an envelope that may be templates, each with its field for errors.
pub(super) fn texts(envelope: &Envelope) -> impl Iterator<Item = (String, &str)> {
    let system = envelope.system.as_deref();
    let system = system.map(|text| ("field `system`".to_owned(), text));
    let alone = envelope.messages.len() == 1;
    let messages = (1..)
        .zip(&envelope.messages)
        .flat_map(move |(number, message)| {
            let is_prompt = alone && message.role == Role::User && message.extra.is_empty();
            let is_prompt = is_prompt && message.parts().is_empty();
            message.texts().map(move |text| {
                let field = if is_prompt {
                    "field `prompt`".to_owned()
                } else {
                    format!("field `messages`: message {number}")
                };
                (field, text)
            })
        });
    let parameters = envelope.recipe.iter().flat_map(|call| &call.parameters);
    let parameters = parameters.filter_map(|(name, value)| {
        Some((format!("field `parameters`: `{name}`"), value.as_str()?))
    });
    system.into_iter().chain(messages).chain(parameters)
}

/// The question and the artefact of a step that asks a person, filled in.
pub fn render_person(
    person: &Person,
    scope: &TemplateScope,
) -> Result<(String, Option<String>), TemplateError> {
    let values = values::of_scope(scope);
    let filled = |name: &str, text: &str| {
        if !is_template(text) {
            return Ok(text.to_owned());
        }
        let in_field = |error| TemplateError(format!("field `person`: field `{name}`: {error}"));
        scope.rendered(text, &values).map_err(in_field)
    };
    let question = filled("question", &person.question)?;
    if question.trim().is_empty() {
        return Err(TemplateError(
            "field `person`: field `question`: nothing is left of it when it is filled in"
                .to_owned(),
        ));
    }
    let artefact = person.artefact.as_deref();
    let artefact = artefact.map(|text| filled("artefact", text)).transpose()?;
    Ok((question, artefact))
}

/// Renders the templates of an envelope; other texts stay as they are.
pub fn render_envelope(
    envelope: &Envelope,
    scope: &TemplateScope,
) -> Result<Envelope, TemplateError> {
    let values = values::of_scope(scope);
    let mut filled = Vec::new();
    for (field, text) in texts(envelope) {
        filled.push(if is_template(text) {
            let text = scope.rendered(text, &values);
            let text = text.map_err(|error| TemplateError(format!("{field}: {error}")))?;
            if text.trim().is_empty() {
                return Err(TemplateError(format!(
                    "{field}: nothing is left of it when it is filled in"
                )));
            }
            text
        } else {
            text.to_owned()
        });
    }
    let mut filled = filled.into_iter();
    let mut rendered = envelope.clone();
    if let Some(system) = &mut rendered.system {
        *system = filled.next().unwrap_or_default();
    }
    for text in rendered
        .messages
        .iter_mut()
        .flat_map(ChatMessage::texts_mut)
    {
        *text = filled.next().unwrap_or_default();
    }
    let parameters = rendered
        .recipe
        .iter_mut()
        .flat_map(|call| call.parameters.values_mut());
    for parameter in parameters {
        if let Value::String(text) = parameter {
            *text = filled.next().unwrap_or_default();
        }
    }
    Ok(rendered)
}
