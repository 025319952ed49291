//! JSON that a prompt asks for in words. `docs/SIMULATOR.md` says which words count.

use serde_json::{Deserializer, Map, Value, json};

/// Words right before `JSON` that make it a request.
const BEFORE: [&str; 14] = [
    "answer", "as", "give", "in", "just", "only", "output", "produce", "reply", "respond",
    "return", "to", "with", "write",
];

/// Words between those and `JSON` that change nothing.
const BETWEEN: [&str; 8] = ["a", "an", "one", "plain", "raw", "strict", "the", "valid"];

/// Words right after `JSON` that ask for an object.
const OBJECT: [&str; 3] = ["object", "only", "format"];

/// Words right after `JSON`, or elsewhere in its sentence, that ask for a list.
const LIST: [&str; 4] = ["list", "lists", "array", "arrays"];

/// Words that names of members follow.
const KEYS: [&str; 8] = [
    "key",
    "keys",
    "field",
    "fields",
    "member",
    "members",
    "property",
    "properties",
];

const SENTENCE_ENDS: [char; 4] = ['.', '!', '?', '\n'];

/// The JSON schema of the answer that `prompt` asks for; `None` if it does not ask for JSON.
pub(super) fn requested_schema(prompt: &str) -> Option<Value> {
    let request = Request::find(prompt)?;
    let sample = sample(request.after);
    Some(sample.map_or_else(|| request.described(), |sample| schema_of(&sample)))
}

/// The schema of an object, whatever the words ask for: a list becomes its member `items`.
pub(super) fn object_schema(prompt: &str) -> Value {
    match requested_schema(prompt) {
        Some(schema) if schema.get("properties").is_some() => schema,
        Some(list) => object([("items", list)]),
        None => object([("answer", json!({"type": "string"}))]),
    }
}

/// A prompt around the word `JSON` that asks for it.
struct Request<'p> {
    /// The text after the word.
    after: &'p str,
    is_list: bool,
}

impl<'p> Request<'p> {
    fn find(prompt: &'p str) -> Option<Self> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let found = prompt.as_bytes().windows(4).enumerate();
        let found = found.filter(|(_, four)| four.eq_ignore_ascii_case(b"json"));
        for (at, _) in found {
            let (Some(before), Some(after)) = (prompt.get(..at), prompt.get(at + 4..)) else {
                continue;
            };
            if !before.ends_with(is_word) && !after.starts_with(is_word) {
                let request = Self::read(before, after);
                if request.is_some() {
                    return request;
                }
            }
        }
        None
    }

    fn read(before: &str, after: &'p str) -> Option<Self> {
        let said = before.rsplit(SENTENCE_ENDS).next().unwrap_or_default();
        let follows = sentence(after);
        let next = words(follows).next();
        let is = |list: &[&str], word: &str| list.iter().any(|one| one.eq_ignore_ascii_case(word));
        let previous = words(said).rev().find(|word| !is(&BETWEEN, word));
        let asks_by_next =
            next.is_some_and(|next| is(&OBJECT, next) || is(&LIST, next) || is(&["objects"], next));
        if !asks_by_next && !previous.is_some_and(|previous| is(&BEFORE, previous)) {
            return None;
        }
        let is_list = match next {
            Some(next) if is(&OBJECT, next) => false,
            Some(next) if is(&["objects"], next) => true,
            _ => words(said)
                .chain(words(follows))
                .any(|word| is(&LIST, word)),
        };
        Some(Self { after, is_list })
    }

    /// The form that the words describe.
    fn described(&self) -> Value {
        let keys = keys(sentence(self.after));
        let string = || json!({"type": "string"});
        match (self.is_list, keys.is_empty()) {
            (true, true) => array(&string()),
            (true, false) => array(&object(keys.into_iter().map(|key| (key, string())))),
            (false, true) => object([("answer", string())]),
            (false, false) => object(keys.into_iter().map(|key| (key, string()))),
        }
    }
}

fn sentence(text: &str) -> &str {
    text.split(SENTENCE_ENDS).next().unwrap_or_default()
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// The names after `keys`, `fields` and the like, separated by commas and `and`.
fn keys(sentence: &str) -> Vec<&str> {
    let is_key_word = |word: &&str| KEYS.iter().any(|key| key.eq_ignore_ascii_case(word));
    let Some(word) = words(sentence).find(is_key_word) else {
        return Vec::new();
    };
    let (_, list) = sentence.split_once(word).unwrap_or_default();
    let mut names = Vec::new();
    let mut expects_name = true;
    for word in list.trim_start_matches([':', ' ']).split_whitespace() {
        if word == "and" {
            expects_name = true;
        } else if expects_name {
            names.push(word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_'));
            expects_name = word.ends_with(',');
        } else {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The JSON that begins at the first brace or bracket of `text`, if it is valid.
fn sample(text: &str) -> Option<Value> {
    let json = text.get(text.find(['{', '['])?..)?;
    Deserializer::from_str(json).into_iter().next()?.ok()
}

/// The schema of values that have the form of `sample`.
fn schema_of(sample: &Value) -> Value {
    match sample {
        Value::Null => json!({"type": "null"}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(number) if number.is_f64() => json!({"type": "number"}),
        Value::Number(_) => json!({"type": "integer"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(items) => {
            let first = items.first().map(schema_of);
            array(&first.unwrap_or_else(|| json!({"type": "string"})))
        }
        Value::Object(members) => object(
            members
                .iter()
                .map(|(name, member)| (name.as_str(), schema_of(member))),
        ),
    }
}

fn array(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn object<'n>(members: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let members: Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    let required: Vec<&String> = members.keys().collect();
    json!({"type": "object", "required": required, "properties": members})
}

#[cfg(test)]
mod tests {
    use super::{super::schema::instance, *};

    fn answer(prompt: &str) -> Value {
        requested_schema(prompt).map_or(Value::Null, |schema| instance(&schema))
    }

    #[test]
    fn json_is_asked_for_in_words() {
        let object = json!({"answer": "simulated text 1"});
        for prompt in [
            "Return JSON.",
            "Name a city. Answer with JSON only.",
            "Name a city as json",
            "Answer in valid JSON: what is a queue?",
            "Sort this. Reply with one JSON object and nothing else.",
            "What is a queue? JSON only",
            "Convert this to JSON: a=1",
        ] {
            assert_eq!(answer(prompt), object, "{prompt}");
        }
        let list = json!(["simulated text 1", "simulated text 2", "simulated text 3"]);
        for prompt in [
            "A JSON list of three cities.",
            "Give three colours as a JSON array.",
            "Return a list of colours in JSON",
            "List five risks as JSON.",
        ] {
            assert_eq!(answer(prompt), list, "{prompt}");
        }
    }

    #[test]
    fn json_is_not_asked_for_by_its_name_alone() {
        for prompt in [
            "",
            "Name three colours.",
            "What is JSON?",
            "Write a function that parses JSON.",
            "Return no JSON.",
            "Open as jsonl",
            "Read package.json_old in the jsonnet folder",
        ] {
            assert_eq!(answer(prompt), Value::Null, "{prompt}");
        }
    }

    #[test]
    fn keys_and_samples_give_the_form() {
        let text = |number: u32| format!("simulated text {number}");
        assert_eq!(
            answer("Return a JSON object with the keys `name`, \"age\" and home_town for Oslo."),
            json!({"name": text(3), "age": text(1), "home_town": text(2)})
        );
        assert_eq!(
            answer("Return a JSON list of objects with the fields: a, b.")[2],
            json!({"a": text(5), "b": text(6)})
        );
        assert_eq!(
            answer(
                r#"Answer with JSON only: {"cities": ["..."], "sure": true, "n": 3, "x": {"f": 0.5}}. Hurry."#
            ),
            json!({"cities": [text(1), text(2), text(3)], "sure": true, "n": 1, "x": {"f": 1}})
        );
        let broken = answer(r#"Answer with JSON only: {"angry": 0 to 10}."#);
        assert_eq!(broken, json!({"answer": text(1)}));
    }

    #[test]
    fn an_object_holds_the_list_where_only_objects_are_allowed() {
        let schema = object_schema("Return a JSON list of cities.");
        assert_eq!(instance(&schema)["items"][0], "simulated text 1");
        let schema = object_schema("Name a city.");
        assert_eq!(instance(&schema), json!({"answer": "simulated text 1"}));
    }
}
