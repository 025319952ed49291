//! JSON Schemas of producers: compiled within bounds, and checked.

use jsonschema::Validator;
use serde_json::Value;

/// How many violations of a schema are listed.
const LISTED_VIOLATIONS: usize = 3;

/// The most values of a schema: each may become a part of the validator.
const MOST_VALUES: usize = 20_000;

/// Refuses a schema that is too large to compile.
pub(crate) fn check_size(schema: &Value) -> Result<(), String> {
    if count_values(schema, MOST_VALUES) > MOST_VALUES {
        return Err(format!("it has more than {MOST_VALUES} values"));
    }
    Ok(())
}

pub(crate) fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::validator_for(schema).map_err(|error| error.to_string())
}

/// The first violations of a schema, with their paths and what is expected there, without the values, which may be long.
pub(crate) fn violations(validator: &Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value).take(LISTED_VIOLATIONS);
    errors
        .map(|error| match error.instance_path().as_str() {
            "" => error.masked().to_string(),
            path => format!("{path}: {}", error.masked()),
        })
        .collect()
}

/// The number of values in a JSON document, counted until there are more than `most`.
fn count_values(value: &Value, most: usize) -> usize {
    let children: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => return 1,
    };
    let mut count = 1;
    for child in children {
        if count > most {
            break;
        }
        count += count_values(child, most);
    }
    count
}
