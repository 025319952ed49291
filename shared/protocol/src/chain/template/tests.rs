mod hostile;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    MAX_ITEMS, StepAnswers, TemplateScope, render_envelope, uses, uses_of_expression, values,
};
use crate::{
    chain::{ChainId, StepName},
    envelope::{MessageLimits, RawMessage, parse},
    id::JobId,
    outcome::Outcome,
    state::JobState,
};

fn name(text: &str) -> StepName {
    StepName::parse(text).unwrap()
}

fn outcome(id: &str, output: Option<&str>) -> Outcome {
    Outcome {
        id: JobId::parse(id).unwrap(),
        state: if output.is_some() {
            JobState::Completed
        } else {
            JobState::Discarded
        },
        success: output.is_some(),
        output: output.map(str::to_owned),
        error: None,
        error_class: None,
        platform: Some("openai".to_owned()),
        model: Some("gpt-5-mini".to_owned()),
        tool_calls: Vec::new(),
        logprobs: None,
        warnings: Vec::new(),
        finish_reason: None,
        attempts: 1,
        input_tokens: 10,
        output_tokens: 7,
        cached_tokens: 0,
        reasoning_tokens: 0,
        cost_estimated: false,
        cost_usd: "0.0125".parse().unwrap(),
        duration_ms: 5,
        queued_ms: 1,
        metadata: None,
        merged: None,
        recipe: None,
        gate: None,
        extracted: None,
        validation: None,
        review: None,
        tools: None,
    }
}

/// `answered` has this output, `broken` has no outcome, `each` has two answers for three items.
fn scope(told: &str) -> TemplateScope {
    let items = vec![
        (2, outcome("c/each/2", Some("third"))),
        (1, outcome("c/each/1", None)),
        (0, outcome("c/each/0", Some("first"))),
    ];
    TemplateScope {
        chain: ChainId::parse("c").unwrap(),
        chain_name: None,
        steps: BTreeMap::from([
            (
                name("told"),
                StepAnswers::One(Some(outcome("c/told", Some(told)))),
            ),
            (name("broken"), StepAnswers::One(None)),
            (name("each"), StepAnswers::Many(items)),
        ]),
        item: Some(json!({"city": "Ulm"})),
        index: Some(4),
        gather: Some(name("each")),
        recipe: None,
    }
}

fn rendered(template: &str) -> String {
    scope("{\"score\": 9, \"cities\": [\"Ulm\", \"Bonn\"]}")
        .render(template)
        .unwrap_or_else(|error| error.to_string())
}

#[test]
fn templates_read_answers() {
    for (template, text) in [
        ("{{ steps.told.json.score }}", "9"),
        ("{{ steps[\"told\"].json[\"cities\"][1] }}", "Bonn"),
        ("{{ steps.told.cost }} {{ steps.told.tokens }}", "0.0125 17"),
        (
            "{{ steps.told.model }} of {{ steps.told.platform }}",
            "gpt-5-mini of openai",
        ),
        (
            "{{ steps.told.state }} {{ steps.told.ok }} {{ steps.broken.ok }}",
            "completed True False",
        ),
        ("{{ steps.each.outputs | join(', ') }}", "first, third"),
        (
            "{% for one in gathered %}{{ one.index }}={{ one.output }};{% endfor %}",
            "0=first;2=third;",
        ),
        (
            "{{ steps.each.items | length }} {{ gathered[0].summary }}",
            "2 first",
        ),
        ("{{ item.city }} {{ index }} {{ chain.id }}", "Ulm 4 c"),
        (
            "{{ steps.told.json | tojson }}",
            "{\"cities\":[\"Ulm\",\"Bonn\"],\"score\":9}",
        ),
        (
            "{{ steps.told.json.cities | tojson }} <b>",
            "[\"Ulm\",\"Bonn\"] <b>",
        ),
        ("{{ (steps.told.json.score | float) * 2 }}", "18.0"),
        ("{% raw %}{{ steps }}{% endraw %}", "{{ steps }}"),
        ("{{ steps.broken.output | default('nothing') }}", "nothing"),
        (
            "{% if steps.broken.output is defined %}a{% else %}b{% endif %}",
            "b",
        ),
        ("{{ gathered | map(attribute='index') | sum }}", "2"),
    ] {
        assert_eq!(rendered(template), text, "{template}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (template, words) in [
        (
            "{{ steps.broken.output }}",
            "`steps.broken.output` has no value: step `broken` has no answer",
        ),
        (
            "{{ steps.broken.json.a }}",
            "`steps.broken.json.a` has no value: step `broken` has no answer",
        ),
        (
            "{{ steps.told.json.colour }}",
            "`steps.told.json.colour` has no value",
        ),
        (
            "{{ steps.told.json.a.b }}",
            "`steps.told.json.a.b` has no value",
        ),
        (
            "{% for one in gathered %}{{ one.json.x }}{% endfor %}",
            "`one.json.x` has no value",
        ),
        (
            "{% if steps.told.json.x %}{% endif %}",
            "`steps.told.json.x` has no value",
        ),
        (
            "{{ steps.told.json.cities | first | int }}",
            "`int`: invalid float literal",
        ),
    ] {
        assert_eq!(rendered(template), words, "{template}");
    }
    let prose = scope("It is nine.");
    assert_eq!(
        prose
            .render("{{ steps.told.json.score }}")
            .unwrap_err()
            .to_string(),
        "`steps.told.json.score` has no value: the answer of step `told` is not JSON (expected value at line 1 column 1)"
    );
    let nowhere = TemplateScope {
        steps: BTreeMap::new(),
        ..scope("")
    };
    let error = nowhere.render("{{ steps.told.output }}").unwrap_err();
    assert_eq!(error.to_string(), "`steps.told.output` has no value");
}

#[test]
fn conditions_and_lists() {
    let scope = scope(
        "```json\n{\"score\": 9, \"ok\": false, \"cities\": [\"Ulm\", 5, {\"a\": null}]}\n```",
    );
    assert_eq!(
        scope.holds("steps.told.json.score > 7 and steps.told.ok"),
        Ok(true)
    );
    assert_eq!(scope.holds("steps.told.json.ok"), Ok(false));
    assert_eq!(scope.holds("steps.broken.ok"), Ok(false));
    assert_eq!(scope.holds("(steps.told.cost | float) < 0.01"), Ok(false));
    let error = scope.holds("steps.told.json.nothing").unwrap_err();
    assert_eq!(error.to_string(), "`steps.told.json.nothing` has no value");
    assert_eq!(
        scope.list("steps.told.json.cities"),
        Ok(vec![json!("Ulm"), json!(5), json!({"a": null})])
    );
    assert_eq!(scope.list("['a', 'b']"), Ok(vec![json!("a"), json!("b")]));
    assert_eq!(scope.list("[]"), Ok(Vec::<Value>::new()));
    assert_eq!(
        scope
            .list("steps.each.items | map(attribute='output')")
            .unwrap()
            .len(),
        2
    );
    for (expression, words) in [
        (
            "steps.told.json",
            "expected a list, but `steps.told.json` is a map",
        ),
        (
            "steps.told.output",
            "expected a list, but `steps.told.output` is a string",
        ),
        ("steps.told.json.x", "`steps.told.json.x` has no value"),
    ] {
        assert_eq!(scope.list(expression).unwrap_err().to_string(), words);
    }
}

#[test]
fn a_list_is_no_longer_than_a_step_may_fan_out() {
    let list = |length: usize| scope(&json!(vec![0; length]).to_string()).list("steps.told.json");
    assert_eq!(list(MAX_ITEMS).unwrap().len(), MAX_ITEMS);
    assert_eq!(
        list(MAX_ITEMS + 1).unwrap_err().to_string(),
        "expected at most 10000 items, but `steps.told.json` has more"
    );
}

#[test]
fn a_summary_is_cut_at_500_characters() {
    let whole = "ü".repeat(500);
    assert_eq!(
        scope(&whole).render("{{ steps.told.summary }}"),
        Ok(whole.clone())
    );
    let longer = format!("{whole}x");
    assert_eq!(
        scope(&longer).render("{{ steps.told.summary }}"),
        Ok(format!("{whole}..."))
    );
}

#[test]
fn json_may_stand_in_a_fence_or_among_words() {
    for output in [
        "{\"a\":1}",
        "  {\"a\":1}\n",
        "```json\n{\"a\":1}\n```",
        "```\n{\"a\":1}\n```\n",
        "Here you are:\n```JSON\n{\"a\":1}\n```\nAnything else?",
        "As {asked} [1]: {\"a\":1}. Anything else?",
        "``` {\"a\":1} ```",
    ] {
        assert_eq!(
            values::json_of(output).unwrap(),
            json!({"a": 1}),
            "{output}"
        );
    }
    assert_eq!(
        values::json_of("```json\n{\"a\":\"```sh\\nls\\n```\"}\n```").unwrap(),
        json!({"a": "```sh\nls\n```"})
    );
    for output in ["", "nine", "```json\n{\"a\":\n```", "{a}"] {
        assert!(values::json_of(output).is_err(), "{output}");
    }
}

#[test]
fn what_a_template_reads_is_told_before_it_runs() {
    let found = uses(
        "{% for one in steps.a.json.list if one.x == steps['b'].output %}{{ one }}{{ loop.index }}{% endfor %}\
         {{ steps.c.outputs[item] | default(steps.d.json[steps.e.output]) }}",
    )
    .unwrap();
    let steps: Vec<_> = found.steps().map(StepName::as_str).collect();
    assert_eq!(steps, ["a", "b", "c", "d", "e"]);
    assert!(found.item && !found.gathered);
    let found = uses_of_expression("gathered | length > index").unwrap();
    assert!(found.item && found.gathered);
}

#[test]
fn only_templates_of_an_envelope_are_filled_in() {
    let job = json!({
        "system": "Answer in {{ item.city }}.",
        "messages": [
            {"role": "user", "content": "Plain {# text #}", "name": "{{ x }}"},
            {"role": "assistant", "content": "{{ steps.told.output }}"},
        ],
    });
    let read = |job: &Value| {
        let message = RawMessage {
            fields: vec![(b"job".to_vec(), job.to_string().into_bytes())],
        };
        parse(&message, &MessageLimits::default()).unwrap().envelope
    };
    let rendered = render_envelope(&read(&job), &scope("{{ index }}")).unwrap();
    assert_eq!(rendered.system.as_deref(), Some("Answer in Ulm."));
    let texts: Vec<_> = rendered.messages.iter().map(|m| m.text()).collect();
    assert_eq!(texts, ["Plain {# text #}", "{{ index }}"]);
    for (prompt, words) in [
        (
            "{{ steps.broken.output }}",
            "field `prompt`: `steps.broken.output` has no value: step `broken` has no answer",
        ),
        (
            "{{ steps.told.output }}",
            "field `prompt`: nothing is left of it when it is filled in",
        ),
    ] {
        let error = render_envelope(&read(&json!({"prompt": prompt})), &scope(" \n")).unwrap_err();
        assert_eq!(error.to_string(), words);
    }
}
