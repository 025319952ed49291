//! Fills in the parameters of a recipe.

use std::collections::BTreeMap;

use longshore_protocol::chain::{
    ChainId,
    template::{
        RecipeInputs, RecipeScope, TemplateScope, is_template, only_expression, reads_only_inputs,
    },
};
use serde_json::{Map, Value};

/// Members whose texts are filled in when their step runs, or are expressions.
const AT_RUN_TIME: &[&str] = &["prompt", "system", "messages", "when", "foreach", "repeat"];

/// Why a recipe is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To run for a job.
    Run,
    /// To be checked or explained. What a job would say stands as [`EXAMPLE`].
    Check,
}

/// The example value of a text that comes from the job.
pub(super) const EXAMPLE: &str = "example";

/// What templates read before any step has run.
pub(super) fn scope_before_steps(inputs: &RecipeInputs) -> TemplateScope {
    TemplateScope {
        chain: ChainId::from_stored("recipe"),
        chain_name: None,
        steps: BTreeMap::new(),
        item: None,
        index: None,
        gather: None,
        recipe: Some(RecipeScope {
            inputs: inputs.clone(),
            last: None,
        }),
    }
}

/// The fields of a job that says nothing but a prompt.
pub(super) fn example_job() -> Map<String, Value> {
    let said = ["id", "prompt", "type"].map(|name| (name, Value::from(EXAMPLE)));
    let unsaid = ["risk", "area", "complexity", "tenant"].map(|name| (name, Value::Null));
    let fields = said.into_iter().chain(unsaid);
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Fills in all texts that read nothing but `job`, `parameters` and `round`. A text that is one expression becomes its
/// value, of any form; a member without a value is left out. Returns the chain, and what is wrong with its texts.
pub(super) fn fill_in(
    chain: &Map<String, Value>,
    inputs: &RecipeInputs,
    purpose: Purpose,
) -> (Map<String, Value>, Vec<String>) {
    let mut filling = Filling {
        scope: scope_before_steps(inputs),
        purpose,
        faults: Vec::new(),
    };
    let filled = filling.object(chain, "");
    (filled, filling.faults)
}

struct Filling {
    scope: TemplateScope,
    purpose: Purpose,
    faults: Vec<String>,
}

impl Filling {
    fn object(&mut self, object: &Map<String, Value>, place: &str) -> Map<String, Value> {
        let mut filled = Map::new();
        for (name, value) in object {
            if AT_RUN_TIME.contains(&name.as_str()) {
                filled.insert(name.clone(), value.clone());
                continue;
            }
            let place = match place {
                "" => name.clone(),
                place => format!("{place}.{name}"),
            };
            let value = self.value(value, &place);
            if !value.is_null() {
                filled.insert(name.clone(), value);
            }
        }
        filled
    }

    fn value(&mut self, value: &Value, place: &str) -> Value {
        match value {
            Value::String(text) if is_template(text) => self.text(text, place),
            Value::Object(object) => Value::Object(self.object(object, place)),
            Value::Array(list) => {
                let numbered = (1..).zip(list);
                let filled = numbered.map(|(number, value)| {
                    let place = format!("{place}[{number}]");
                    self.value(value, &place)
                });
                Value::Array(filled.collect())
            }
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str, place: &str) -> Value {
        let filled = match reads_only_inputs(text) {
            // What reads steps is filled in when the step runs.
            Ok(false) => return Value::from(text),
            Ok(true) => match only_expression(text) {
                Some(expression) => self.scope.value(expression),
                None => self.scope.render(text).map(Value::from),
            },
            Err(fault) => {
                self.faults.push(format!("`{place}`: {fault}"));
                return Value::Null;
            }
        };
        filled.unwrap_or_else(|error| {
            if self.purpose == Purpose::Check && text.contains("job.") {
                return Value::from(EXAMPLE);
            }
            self.faults.push(format!("`{place}`: {error}"));
            Value::Null
        })
    }
}
