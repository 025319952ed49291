//! The values that templates read: steps, items, the chain.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use minijinja::{
    Value,
    value::{Enumerator, Object, Serde},
};

use super::{RecipeInputs, StepAnswers, TemplateScope};
use crate::{
    chain::{
        SKIPPED, StepName,
        code::{CodeBlock, code_blocks},
        extract::diff_of,
    },
    outcome::Outcome,
    state::JobState,
};

/// The fields of a step or of an item.
pub(in crate::chain) const OF_ONE: &[&str] = &[
    "output",
    "summary",
    "json",
    "code",
    "blocks",
    "answers",
    "tool_calls",
    "cost",
    "state",
    "ok",
    "model",
    "platform",
    "tokens",
    "gate",
    "diff",
    "validation",
    "review",
];

/// The fields of an item of a fanned-out step.
const OF_AN_ITEM: &[&str] = &[
    "output",
    "summary",
    "json",
    "code",
    "blocks",
    "answers",
    "tool_calls",
    "cost",
    "state",
    "ok",
    "model",
    "platform",
    "tokens",
    "index",
    "gate",
    "diff",
    "validation",
    "review",
];

/// The fields of a fanned-out step.
pub(in crate::chain) const OF_MANY: &[&str] = &["outputs", "items"];

/// Characters of an answer in its summary.
const SUMMARY: usize = 500;

/// A step's outcome as templates see it; its JSON is parsed on first use.
struct Context {
    output: Option<Arc<str>>,
    outcome: Option<Outcome>,
    index: Option<u32>,
    json: OnceLock<Option<Value>>,
}

/// Everything that a template of the step can read.
pub(super) fn of_scope(scope: &TemplateScope) -> Value {
    let mut all = vec![
        ("steps", of_steps(&scope.steps)),
        (
            "chain",
            Value::from_pairs([
                ("id", Value::from(scope.chain.as_str())),
                ("name", Value::from(scope.chain_name.as_deref())),
            ]),
        ),
    ];
    if let Some(item) = &scope.item {
        all.push(("item", Value::from(Serde(item))));
    }
    if let Some(index) = scope.index {
        all.push(("index", Value::from(index)));
    }
    let gathered = scope.gather.as_ref().and_then(|step| scope.steps.get(step));
    if let Some(StepAnswers::Many(items)) = gathered {
        all.push(("gathered", of_items(items)));
    }
    if let Some(recipe) = &scope.recipe {
        let RecipeInputs {
            job,
            parameters,
            round,
        } = &recipe.inputs;
        all.push(("job", Value::from(Serde(job))));
        all.push(("parameters", Value::from(Serde(parameters))));
        all.push(("round", Value::from(*round)));
        all.push((
            "last",
            recipe.last.as_ref().map_or(Value::from(()), of_steps),
        ));
    }
    Value::from_pairs(all)
}

fn of_steps(steps: &BTreeMap<StepName, StepAnswers>) -> Value {
    let views = steps
        .iter()
        .map(|(name, view)| (name.as_str(), of_view(view)));
    Value::from_pairs(views)
}

fn of_view(view: &StepAnswers) -> Value {
    match view {
        StepAnswers::One(outcome) => Value::from_object(Context::of(outcome.as_ref(), None)),
        StepAnswers::Many(items) => {
            let outputs: Vec<Value> = completed(items)
                .map(|(_, outcome)| Value::from(outcome.output.as_deref()))
                .collect();
            Value::from_pairs([
                ("outputs", Value::from(outputs)),
                ("items", of_items(items)),
            ])
        }
    }
}

/// The completed items, in list order.
fn completed(items: &[(u32, Outcome)]) -> impl Iterator<Item = &(u32, Outcome)> {
    let mut items: Vec<_> = items
        .iter()
        .filter(|(_, outcome)| outcome.success)
        .collect();
    items.sort_unstable_by_key(|(index, _)| *index);
    items.into_iter()
}

fn of_items(items: &[(u32, Outcome)]) -> Value {
    completed(items)
        .map(|(index, outcome)| Value::from_object(Context::of(Some(outcome), Some(*index))))
        .collect()
}

impl Context {
    fn of(outcome: Option<&Outcome>, index: Option<u32>) -> Self {
        let output = outcome.and_then(|outcome| outcome.output.as_deref());
        Self {
            output: output.map(Arc::from),
            outcome: outcome.map(|outcome| Outcome {
                output: None,
                logprobs: None,
                metadata: None,
                ..outcome.clone()
            }),
            index,
            json: OnceLock::new(),
        }
    }

    fn json(&self) -> Option<Value> {
        let read = || {
            let json = json_of(self.output.as_deref()?).ok()?;
            Some(Value::from(Serde(json)))
        };
        self.json.get_or_init(read).clone()
    }
}

impl Context {
    fn blocks(&self) -> Vec<CodeBlock> {
        self.output.as_deref().map(code_blocks).unwrap_or_default()
    }

    /// The code of all blocks; of an answer without any, nothing.
    fn code(&self) -> Value {
        let blocks = self.blocks().into_iter();
        let code: Vec<String> = blocks.map(|block| block.code).collect();
        code.join("\n").into()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.output.as_deref().unwrap_or_default())
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        match (key, &self.outcome) {
            ("ok", outcome) => Some(
                outcome
                    .as_ref()
                    .is_some_and(|outcome| outcome.success)
                    .into(),
            ),
            ("tool_calls", Some(outcome)) => Some(Value::from(Serde(&outcome.tool_calls))),
            ("index", _) => self.index.map(Value::from),
            ("output", _) => self.output.as_ref().map(Value::from),
            ("summary", _) => self.output.as_deref().map(|output| summary(output).into()),
            ("json", _) => self.json(),
            ("code", _) => Some(self.code()),
            ("blocks", _) => Some(Value::from(Serde(self.blocks()))),
            ("answers", Some(outcome)) => {
                let merged = outcome.merged.as_ref();
                Some(Value::from(Serde(
                    merged.map_or(&[][..], |merged| &merged.answers),
                )))
            }
            ("diff", _) => self.output.as_deref().and_then(diff_of).map(Value::from),
            ("validation", Some(outcome)) => outcome
                .validation
                .as_ref()
                .map(|validation| Value::from(Serde(validation))),
            ("gate", Some(outcome)) => outcome.gate.as_ref().map(|gate| Value::from(Serde(gate))),
            ("review", Some(outcome)) => {
                let review = outcome.review.as_ref();
                review.map(|review| Value::from(Serde(review)))
            }
            ("state", None) => Some("running".into()),
            ("cost", Some(outcome)) => Some(outcome.cost_usd.to_string().into()),
            ("state", Some(outcome)) => Some(state(outcome).into()),
            ("model", Some(outcome)) => outcome.model.as_ref().map(Value::from),
            ("platform", Some(outcome)) => outcome.platform.as_ref().map(Value::from),
            ("tokens", Some(outcome)) => {
                let tokens = outcome.input_tokens.saturating_add(outcome.output_tokens);
                Some(tokens.into())
            }
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(if self.index.is_some() {
            OF_AN_ITEM
        } else {
            OF_ONE
        })
    }
}

/// The final state of a step.
fn state(outcome: &Outcome) -> &'static str {
    match outcome.state {
        JobState::Completed => "completed",
        JobState::Cancelled if outcome.error_class.as_deref() == Some(SKIPPED) => SKIPPED,
        JobState::Cancelled => "cancelled",
        _ => "failed",
    }
}

/// The start of an answer.
fn summary(output: &str) -> String {
    match output.char_indices().nth(SUMMARY) {
        None => output.to_owned(),
        Some((end, _)) => format!("{}...", output.get(..end).unwrap_or(output)),
    }
}

/// Parses an answer as JSON: all of it, or else the content of its first code fence, or else the longest object or list
/// among its words.
pub(in crate::chain) fn json_of(output: &str) -> Result<serde_json::Value, serde_json::Error> {
    let wrong = match serde_json::from_str(output.trim()) {
        Ok(json) => return Ok(json),
        Err(wrong) => wrong,
    };
    let fenced = output.split_once("```").and_then(|(_, rest)| {
        let (_language, rest) = rest.split_once('\n')?;
        // JSON strings may contain fences, so the last fence ends it.
        rest.rsplit_once("```")
    });
    match fenced {
        Some((json, _)) => serde_json::from_str(json.trim()),
        None => json_among_words(output).ok_or(wrong),
    }
}

/// The longest object or list in a text.
fn json_among_words(text: &str) -> Option<serde_json::Value> {
    // Each place where one may begin is parsed as far as it goes.
    const MOST_TRIED: usize = 100;
    let begins = text.match_indices(['{', '[']).take(MOST_TRIED);
    let values = begins.filter_map(|(at, _)| {
        let mut values = serde_json::Deserializer::from_str(text.get(at..)?).into_iter();
        let value = values.next()?.ok()?;
        Some((values.byte_offset(), value))
    });
    let longest = values.max_by_key(|(length, _)| *length);
    longest.map(|(_, value)| value)
}
