//! Properties of all documents.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{EVERYTHING, good, read};

/// A chain whose steps need earlier ones: for each step, the indexes of its needs.
fn any_chain() -> impl Strategy<Value = Vec<Vec<usize>>> {
    proptest::collection::vec(proptest::collection::btree_set(0..1000_usize, 0..4), 1..40).prop_map(
        |all| {
            let needs = all.into_iter().enumerate().map(|(at, needs)| {
                let before: std::collections::BTreeSet<_> = needs
                    .into_iter()
                    .filter(|_| at > 0)
                    .map(|need| need % at)
                    .collect();
                before.into_iter().collect()
            });
            needs.collect()
        },
    )
}

fn document(needs: &[Vec<usize>]) -> Value {
    let steps = needs.iter().enumerate().map(|(at, needs)| {
        let texts: Vec<_> = needs
            .iter()
            .map(|need| format!("{{{{ steps.s{need}.output }}}}"))
            .collect();
        let names: Vec<_> = needs.iter().map(|need| format!("s{need}")).collect();
        json!({"name": format!("s{at}"), "needs": names, "prompt": format!("p {}", texts.join(" "))})
    });
    json!({"steps": steps.collect::<Vec<_>>()})
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn steps_that_need_earlier_ones_are_a_chain(needs in any_chain()) {
        let parsed = good(&document(&needs).to_string());
        for (step, needs) in parsed.steps.iter().zip(&needs) {
            let names: Vec<_> = needs.iter().map(|need| format!("s{need}")).collect();
            prop_assert_eq!(step.needs.iter().map(super::super::StepName::as_str).collect::<Vec<_>>(), names);
            prop_assert_eq!(step.work.reads.len(), needs.len());
        }
    }

    #[test]
    fn a_step_reads_what_is_upstream_and_nothing_else(needs in any_chain(), reader in any::<prop::sample::Index>(), of in any::<prop::sample::Index>()) {
        let (reader, of) = (reader.index(needs.len()), of.index(needs.len()));
        let mut document = document(&needs);
        document["steps"][reader]["prompt"] = json!(format!("{{{{ steps.s{of}.output }}}}"));
        let mut upstream = needs[reader].clone();
        let mut at = 0;
        while at < upstream.len() {
            upstream.extend(needs[upstream[at]].clone());
            upstream.dedup();
            at += 1;
            prop_assume!(upstream.len() < 100_000);
        }
        prop_assert_eq!(read(&document.to_string()).is_ok(), upstream.contains(&of));
    }

    #[test]
    fn one_need_backwards_makes_a_circle(needs in any_chain()) {
        prop_assume!(needs.len() > 1);
        let last = needs.len() - 1;
        let mut document = document(&needs);
        // In a row, so that the last step needs the first through all others.
        for at in 1..=last {
            document["steps"][at]["needs"] = json!([format!("s{}", at - 1)]);
            document["steps"][at]["prompt"] = json!("p");
        }
        document["steps"][0]["needs"] = json!([format!("s{last}")]);
        let bad = read(&document.to_string()).unwrap_err();
        prop_assert_eq!(bad.faults.len(), 1);
        prop_assert_eq!(bad.faults[0].message.matches('→').count(), needs.len());
    }

    #[test]
    fn no_change_of_a_byte_makes_it_panic(at in any::<prop::sample::Index>(), to in any::<char>(), cut in 0..3_usize) {
        let chars: Vec<char> = EVERYTHING.chars().collect();
        let at = at.index(chars.len());
        let text: String = chars[..at].iter().chain([&to]).chain(chars[(at + cut).min(chars.len())..].iter()).collect();
        if let Err(bad) = read(&text) {
            prop_assert!(!bad.faults.is_empty());
        }
    }

    #[test]
    fn no_values_make_it_panic(members in proptest::collection::vec((any_field(), any_value()), 0..8), top in proptest::collection::vec((any_field(), any_value()), 0..5)) {
        let object = |members: Vec<(&str, Value)>| -> Map<String, Value> {
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let mut document = object(top);
        let mut step = object(members);
        step.entry("name").or_insert(json!("a"));
        document.entry("steps").or_insert(json!([step, {"name": "b", "prompt": "p"}]));
        if let Err(bad) = read(&Value::Object(document).to_string()) {
            prop_assert!(!bad.to_string().is_empty());
        }
    }

    #[test]
    fn no_text_makes_a_template_panic(text in "(\\{\\{|\\}\\}|\\{%|%\\}|for|in|if|end|steps|\\.a|item|\\[|\\]|\\(|\\)|\\||upper|[ '\"0-9*~+-]){0,20}") {
        for read in [super::super::template::uses(&text), super::super::template::uses_of_expression(&text)] {
            prop_assert!(read.map_or_else(|faults| !faults.is_empty(), |uses| uses.steps().count() <= text.len()));
        }
    }
}

fn any_field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "name",
            "needs",
            "when",
            "on_failure",
            "foreach",
            "gather",
            "min_success",
            "prompt",
            "messages",
            "system",
            "id",
            "max_parallel",
            "fail_fast",
            "deadline",
            "on_complete",
            "steps",
            "other",
            "v",
            "metadata",
        ][..],
    )
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..5_i64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(
            &[
                "a",
                "b",
                "{{ steps.b.output }}",
                "{{ item }}",
                "steps.b.ok",
                "[1]",
                "continue"
            ][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((any_field(), inner), 0..4).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

#[test]
fn ten_thousand_steps_are_checked_quickly() {
    let in_a_row: Vec<Vec<usize>> = (0..10_000)
        .map(|at: usize| at.checked_sub(1).into_iter().collect())
        .collect();
    let mut text = document(&in_a_row);
    text["steps"][9_999]["prompt"] = json!("{{ steps.s0.output }}");
    let mut wide: Vec<Vec<usize>> = (0..9_999).map(|_| Vec::new()).collect();
    wide.push((0..9_999).collect());
    let mut widest = document(&wide);
    widest["steps"][9_999]["prompt"] = json!("p");
    let layers: Vec<Vec<usize>> = (0..10_000_usize)
        .map(|at| {
            if at < 10 {
                Vec::new()
            } else {
                (at / 10 * 10 - 10..at / 10 * 10).collect()
            }
        })
        .collect();
    let mut layered = document(&layers);
    for step in layered["steps"].as_array_mut().unwrap() {
        step["prompt"] = json!("p");
    }
    for text in [text, widest, layered] {
        let text = text.to_string();
        let begin = Instant::now();
        assert_eq!(good(&text).steps.len(), 10_000);
        // The bound holds for a debug build on a busy machine; a release build takes a tenth.
        assert!(
            begin.elapsed().as_secs() < 10,
            "{:?} for {} bytes",
            begin.elapsed(),
            text.len()
        );
    }
}
