//! Values that match a JSON schema, for structured output.

use serde_json::{Map, Value, json};

/// Nested schemas deeper than this are answered with null; a schema may refer to itself.
const DEPTH: u8 = 10;

/// The smallest plausible value for `schema`. Strings hold `text`. Only the keywords that
/// structured-output providers support are honoured; local references are followed.
pub(super) fn instance(schema: &Value, text: &str) -> Value {
    build(schema, schema, text, DEPTH)
}

fn build(root: &Value, schema: &Value, text: &str, depth: u8) -> Value {
    let Some(below) = depth.checked_sub(1) else {
        return Value::Null;
    };
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| build(root, target, text, below));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema.get("enum").and_then(|values| values.get(0)) {
        return value.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|choices| choices.get(0)) {
            return build(root, first, text, below);
        }
    }
    match kind(schema).to_ascii_lowercase().as_str() {
        "string" => Value::String(string(schema, text)),
        "integer" => json!(integer(schema)),
        "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => Value::Bool(true),
        "null" => Value::Null,
        "array" => {
            let length = schema
                .get("minItems")
                .and_then(Value::as_u64)
                .unwrap_or(1)
                .min(100);
            let item = schema
                .get("items")
                .map_or(Value::Null, |item| build(root, item, text, below));
            (0..length).map(|_| item.clone()).collect()
        }
        _ => {
            let members = schema.get("properties").and_then(Value::as_object);
            let members = members.into_iter().flatten();
            let built = members.map(|(name, of)| (name.clone(), build(root, of, text, below)));
            Value::Object(built.collect::<Map<_, _>>())
        }
    }
}

/// The schema's type; the first, where it lists several. Gemini writes types in capitals.
fn kind(schema: &Value) -> &str {
    let named = schema.get("type");
    named
        .and_then(Value::as_str)
        .or_else(|| named.and_then(|kinds| kinds.get(0)).and_then(Value::as_str))
        .unwrap_or("object")
}

fn string(schema: &Value, text: &str) -> String {
    let length = |name| {
        schema
            .get(name)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
    };
    let longest = length("maxLength").unwrap_or(usize::MAX);
    let mut string: String = text.chars().take(longest).collect();
    let missing = length("minLength")
        .unwrap_or(0)
        .min(10_000)
        .saturating_sub(string.chars().count());
    string.extend(std::iter::repeat_n('.', missing));
    string
}

fn integer(schema: &Value) -> i64 {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|n| n.saturating_add(1)));
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|n| n.saturating_sub(1)));
    let wanted = least.map_or(1, |least| least.max(1));
    most.map_or(wanted, |most| wanted.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_fits_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "verdict": {"enum": ["approve", "reject"]},
                "score": {"type": "integer", "minimum": 3, "maximum": 9},
                "notes": {"type": "array", "items": {"$ref": "#/$defs/note"}, "minItems": 2},
                "short": {"type": ["string", "null"], "maxLength": 3},
                "inner": {"type": "OBJECT", "properties": {"ok": {"type": "BOOLEAN"}}},
            },
            "required": ["verdict", "score", "notes", "short", "inner"],
            "additionalProperties": false,
            "$defs": {"note": {"type": "string", "minLength": 12}},
        });
        assert_eq!(
            instance(&schema, "a note"),
            json!({
                "verdict": "approve", "score": 3, "short": "a n",
                "notes": ["a note......", "a note......"], "inner": {"ok": true},
            })
        );
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let schema = json!({"properties": {"next": {"$ref": "#"}}});
        assert!(instance(&schema, "x").is_object());
    }
}
