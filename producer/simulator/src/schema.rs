//! Values that match a JSON schema, for structured output.

use serde_json::{Map, Value, json};

/// Schemas nested deeper than this are too deep; a schema may refer to itself.
const DEPTH: u8 = 10;

/// Items of a list, unless its schema wants fewer or more.
const ITEMS: u64 = 3;

/// Text by `format`.
const FORMATS: [(&str, &str); 10] = [
    ("date-time", "2026-01-02T03:04:05Z"),
    ("date", "2026-01-02"),
    ("time", "03:04:05Z"),
    ("duration", "P1D"),
    ("email", "someone@example.com"),
    ("hostname", "example.com"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
    ("uri", "https://example.com/"),
    ("uuid", "00000000-0000-4000-8000-000000000001"),
];

/// A plausible value for `schema`. Strings are numbered. The keywords that structured-output providers
/// support are honoured, except `pattern`; local references are followed.
pub(super) fn instance(schema: &Value) -> Value {
    let mut builder = Builder {
        root: schema,
        strings: 0,
    };
    builder.build(schema, DEPTH).unwrap_or_default()
}

struct Builder<'s> {
    root: &'s Value,
    /// How many strings there are so far.
    strings: u32,
}

impl Builder<'_> {
    /// `None` if every value for `schema` is too deep.
    fn build(&mut self, schema: &Value, depth: u8) -> Option<Value> {
        let below = depth.checked_sub(1)?;
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(Some(Value::Null), |target| self.build(target, below));
        }
        if let Some(value) = schema.get("const") {
            return Some(value.clone());
        }
        if let Some(value) = schema.get("enum").and_then(|values| values.get(0)) {
            return Some(value.clone());
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
                return choices.iter().find_map(|one| self.build(one, below));
            }
        }
        match kind(schema).to_ascii_lowercase().as_str() {
            "string" => Some(Value::String(self.string(schema))),
            "integer" => Some(json!(integer(schema))),
            "number" => Some(number(schema)),
            "boolean" => Some(Value::Bool(true)),
            "null" => Some(Value::Null),
            "array" => self.array(schema, below),
            _ => self.object(schema, below),
        }
    }

    fn array(&mut self, schema: &Value, below: u8) -> Option<Value> {
        let bound = |name| schema.get(name).and_then(Value::as_u64);
        let least = bound("minItems").unwrap_or(0).min(100);
        let most = bound("maxItems").unwrap_or(u64::MAX);
        let Some(of) = schema.get("items") else {
            return Some((0..least).map(|_| Value::Null).collect());
        };
        let items = (0..least.max(ITEMS).min(most)).map(|_| self.build(of, below));
        match items.collect::<Option<Vec<_>>>() {
            Some(items) => Some(Value::Array(items)),
            None => (least == 0).then(|| json!([])),
        }
    }

    fn object(&mut self, schema: &Value, below: u8) -> Option<Value> {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &String| required.is_some_and(|names| names.iter().any(|one| one == name));
        let members = schema.get("properties").and_then(Value::as_object);
        let mut object = Map::new();
        for (name, of) in members.into_iter().flatten() {
            match self.build(of, below) {
                Some(value) => drop(object.insert(name.clone(), value)),
                None if is_required(name) => return None,
                None => {}
            }
        }
        Some(Value::Object(object))
    }

    fn string(&mut self, schema: &Value) -> String {
        let format = schema.get("format").and_then(Value::as_str);
        if let Some((_, text)) = FORMATS.iter().find(|(name, _)| format == Some(name)) {
            return (*text).to_owned();
        }
        self.strings = self.strings.saturating_add(1);
        let length = |name| {
            schema
                .get(name)
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok())
        };
        let text = format!("simulated text {}", self.strings);
        let longest = length("maxLength").unwrap_or(usize::MAX);
        let mut string: String = text.chars().take(longest).collect();
        let missing = length("minLength")
            .unwrap_or(0)
            .min(10_000)
            .saturating_sub(string.chars().count());
        string.extend(std::iter::repeat_n('.', missing));
        string
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

fn integer(schema: &Value) -> i64 {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|n| n.saturating_add(1)));
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|n| n.saturating_sub(1)));
    let wanted = least.map_or(1, |least| least.max(1));
    let step = bound("multipleOf").filter(|step| *step > 0).unwrap_or(1);
    // The next multiple, or the last one that is not too large.
    let wanted = wanted.saturating_add(step - 1).div_euclid(step);
    let most = most.map_or(wanted, |most| most.div_euclid(step));
    wanted.min(most).saturating_mul(step)
}

/// The first of some plausible numbers that fits.
fn number(schema: &Value) -> Value {
    let bound = |name| schema.get(name).and_then(Value::as_f64);
    let (least, above) = (bound("minimum"), bound("exclusiveMinimum"));
    let (most, under) = (bound("maximum"), bound("exclusiveMaximum"));
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let fits = |number: f64| {
        least.is_none_or(|least| number >= least)
            && above.is_none_or(|above| number > above)
            && most.is_none_or(|most| number <= most)
            && under.is_none_or(|under| number < under)
            && step.is_none_or(|step| (number / step).fract() == 0.0)
    };
    let low = least.or(above);
    let high = most.or(under);
    let middle = low.zip(high).map(|(low, high)| f64::midpoint(low, high));
    let near = [
        step,
        low,
        high,
        middle,
        low.map(|low| low + 1.0),
        high.map(|high| high - 1.0),
    ];
    let found = near.into_iter().flatten().find(|number| fits(*number));
    match found {
        Some(number) if !fits(1.0) => json!(number),
        _ => json!(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_plausible() {
        let schema = json!({
            "type": "object",
            "properties": {
                "verdict": {"enum": ["approve", "reject"]},
                "score": {"type": "integer", "minimum": 3, "maximum": 9},
                "notes": {"type": "array", "items": {"$ref": "#/$defs/note"}, "maxItems": 2},
                "short": {"type": ["string", "null"], "maxLength": 3},
                "inner": {"type": "OBJECT", "properties": {"ok": {"type": "BOOLEAN"}}},
            },
            "required": ["verdict", "score", "notes", "short", "inner"],
            "additionalProperties": false,
            "$defs": {"note": {"type": "string", "minLength": 18}},
        });
        assert_eq!(
            instance(&schema),
            json!({
                "verdict": "approve", "score": 3, "short": "sim",
                "notes": ["simulated text 1..", "simulated text 2.."], "inner": {"ok": true},
            })
        );
    }

    #[test]
    fn the_value_fits_the_schema() {
        let tree = json!({"type": "object", "required": ["children", "next"], "properties": {
            "children": {"type": "array", "items": {"$ref": "#"}},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}});
        for schema in [
            tree,
            json!({"properties": {"next": {"$ref": "#"}}}),
            json!({"type": "array", "items": {"type": "string"}, "minItems": 5, "uniqueItems": true}),
            json!({"type": "array", "items": {"type": "integer"}, "maxItems": 1}),
            json!({"type": "array", "minItems": 2}),
            json!({"type": "integer", "exclusiveMaximum": -4}),
            json!({"type": "integer", "minimum": 11, "maximum": 24, "multipleOf": 10}),
            json!({"type": "number", "minimum": 0, "maximum": 1}),
            json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
            json!({"type": "number", "maximum": -2.5}),
            json!({"type": "number", "exclusiveMinimum": 7, "multipleOf": 0.5}),
            json!({"type": "string", "minLength": 30, "maxLength": 40}),
            json!({"type": "string", "format": "date-time"}),
            json!({"oneOf": [{"const": 3}, {"type": "string"}]}),
        ] {
            let value = instance(&schema);
            assert!(jsonschema::is_valid(&schema, &value), "{schema}: {value}");
        }
    }
}
