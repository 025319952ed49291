//! Properties of all messages.

use std::{borrow::Cow, collections::BTreeMap};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    super::{FIELDS, by_name::ByName, json::Shape},
    RawMessage, flat, job, read,
};

/// The names of all fields, and some others.
fn names() -> Vec<&'static str> {
    [FIELDS, &["job", "other", "_x", "chain"]].concat()
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        any::<f64>().prop_map(|number| number.to_string().into_bytes()),
        r#"[\[\]{}",:\\ 0-9a-z.eE+-]{0,40}"#.prop_map(String::into_bytes),
        any_json().prop_map(|json| json.to_string().into_bytes()),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9]{1,15}(\\.[0-9]{1,3})?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        let name = prop_oneof![
            proptest::sample::select(names()).prop_map(str::to_owned),
            proptest::sample::select(&["role", "content", "type", "text", "url", "tool_calls"][..])
                .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn depth(json: &Value) -> usize {
    match json {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A member, valid or not, and the text of the same value in a flat field.
fn any_member() -> impl Strategy<Value = (String, Value)> {
    let numbers = prop_oneof![
        (0_u32..40_000_000).prop_map(Value::from),
        (-3_i64..100).prop_map(Value::from),
        (0_u32..4000).prop_map(|number| json!(f64::from(number) / 8.0)),
        (0_u64..300_000_000_000_000).prop_map(Value::from),
    ];
    let object = proptest::collection::btree_map("[a-z]{0,3}", any_json(), 0..3)
        .prop_map(|members| json!(members));
    prop_oneof![
        (
            proptest::sample::select(
                &[
                    "max_tokens",
                    "temperature",
                    "top_p",
                    "seed",
                    "frequency_penalty",
                    "presence_penalty",
                    "top_logprobs",
                    "delay",
                    "run_at",
                    "start_by",
                    "deadline",
                    "timeout",
                    "unique_for",
                    "concurrency_limit",
                    "v",
                ][..]
            ),
            numbers
        )
            .prop_map(|(name, value)| (name.to_owned(), value)),
        (
            proptest::sample::select(
                &[
                    "id",
                    "type",
                    "prompt",
                    "system",
                    "model",
                    "risk",
                    "tenant",
                    "unique_key",
                    "concurrency_key",
                    "reasoning_effort",
                    "tool_choice",
                    "other",
                    "max_cost_usd",
                    "delay",
                    "run_at",
                    "deadline",
                    "timeout",
                    "traceparent",
                ][..]
            ),
            prop_oneof!["[a-z]{0,6}", "[0-9]{1,13}(\\.[0-9])?", any::<String>()]
        )
            .prop_map(|(name, value)| (name.to_owned(), Value::from(value))),
        (
            proptest::sample::select(
                &[
                    "fallback",
                    "reply",
                    "keep_result",
                    "logprobs",
                    "parallel_tool_calls",
                ][..]
            ),
            any::<bool>()
        )
            .prop_map(|(name, value)| (name.to_owned(), Value::from(value))),
        (
            proptest::sample::select(
                &["metadata", "response_format", "retry", "provider_options"][..]
            ),
            object
        )
            .prop_map(|(name, value)| (name.to_owned(), value)),
    ]
}

/// Parses a message and formats the error: neither may panic.
fn judge(message: &RawMessage) {
    if let Err(error) = read(message) {
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_bytes_make_it_panic(
        fields in proptest::collection::vec(
            (
                prop_oneof![
                    proptest::sample::select(names()).prop_map(|name| name.as_bytes().to_vec()),
                    any::<Vec<u8>>(),
                ],
                any_value(),
            ),
            0..6,
        ),
        job in any_value(),
        members in proptest::collection::vec(
            (proptest::sample::select(names()), any_json()), 0..8
        ),
    ) {
        judge(&RawMessage { fields });
        judge(&RawMessage { fields: vec![(b"job".to_vec(), job)] });
        let members: Map<_, _> = members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        judge(&super::job(&Value::Object(members).to_string()));
    }

    #[test]
    fn the_outline_is_that_of_the_json(json in any_json()) {
        let outline = Shape { depth: depth(&json), compact: json.to_string().len() };
        prop_assert_eq!(Shape::measure(&json.to_string()), outline);
        prop_assert_eq!(Shape::measure(&format!("{json:#}")), outline);
    }

    #[test]
    fn names_are_found_as_in_a_tree(
        given in proptest::collection::vec(("[a-d]{0,2}", any::<u8>()), 0..8),
        gone in "[a-d]{0,2}",
    ) {
        let mut tree: BTreeMap<_, _> = given.iter().cloned().collect();
        let twice = given.len() > tree.len();
        let given = given.into_iter().map(|(name, value)| (Cow::Owned(name), value));
        let (mut by_name, repeated) = ByName::from_pairs(given.collect());
        prop_assert_eq!(repeated.is_some(), twice);
        prop_assert_eq!(by_name.get(&gone), tree.get(&gone));
        prop_assert_eq!(by_name.remove(&gone), tree.remove(&gone));
        let left = tree.iter().map(|(name, value)| (name.as_str(), value));
        prop_assert!(by_name.iter().eq(left));
    }

    #[test]
    fn both_forms_agree(members in proptest::collection::vec(any_member(), 0..7)) {
        let members: Map<String, Value> = members.into_iter().collect();
        let texts: Vec<(String, String)> = members
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect();
        let texts: Vec<_> = texts.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let from_flat = read(&flat(&texts)).map_err(|error| (error.code, error.field));
        let from_json = read(&job(&Value::Object(members).to_string()))
            .map_err(|error| (error.code, error.field));
        prop_assert_eq!(from_flat, from_json);
    }
}
