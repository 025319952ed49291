mod documents;
mod faults;
mod properties;
mod texts;

use super::{BadChain, Document, OnComplete, parse};
use crate::envelope::MessageLimits;

fn read(text: &str) -> Result<Document, BadChain> {
    parse(text, &MessageLimits::default())
}

fn good(text: &str) -> Document {
    read(text).unwrap_or_else(|bad| panic!("{bad}\n{text}"))
}

const EVERYTHING: &str = r#"{
  "id": "report-7", "name": "weekly report", "max_cost_usd": "2.50", "deadline": 3600, "max_parallel": 20,
  "fail_fast": true, "tenant": "acme", "metadata": {"team": "a"}, "reply": true, "colour": "blue",
  "on_complete": {"job": {"prompt": "Tell of {{ steps.merge.output }}"}},
  "steps": [
    {"name": "research", "type": "research", "prompt": "Name three cities."},
    {"name": "each", "needs": ["research"], "foreach": "steps.research.json.cities", "min_success": 2,
     "on_failure": "continue", "prompt": "Describe {{ item }} ({{ index }})."},
    {"name": "merge", "gather": "each", "messages": [{"role": "user", "content": "{{ gathered | length }}"}]},
    {"name": "check", "needs": ["merge"], "when": "steps.merge.json.score > 7", "on_failure": "escalate",
     "system": "You are strict.", "prompt": "{{ steps.research.summary }} {{ chain.name }}"}
  ]
}"#;

#[test]
fn a_document_means_what_it_says() {
    let document = good(EVERYTHING);
    insta::assert_debug_snapshot!((
        &document.id,
        &document.name,
        document.max_cost,
        document.deadline,
        document.max_parallel,
        (document.fail_fast, document.reply.as_ref()),
        &document.tenant,
        &document.metadata,
    ), @r#"
    (
        Some(
            ChainId(
                "report-7",
            ),
        ),
        Some(
            "weekly report",
        ),
        Some(
            Usd(
                2.5,
            ),
        ),
        Some(
            After(
                3600s,
            ),
        ),
        Some(
            20,
        ),
        (
            true,
            Some(
                Anyone,
            ),
        ),
        Some(
            "acme",
        ),
        Some(
            {
                "team": String("a"),
            },
        ),
    )
    "#);
    insta::assert_debug_snapshot!(document.steps, @r#"
    [
        Step {
            name: StepName(
                "research",
            ),
            needs: [],
            when: None,
            on_failure: Fail,
            foreach: None,
            gather: None,
            models: None,
            merge: None,
            not_by: None,
            min_success: None,
            ends_early: false,
            gate: None,
            extract: None,
            validate: None,
            person: None,
            work: Work {
                job: "{\"prompt\":\"Name three cities.\",\"type\":\"research\"}",
                templated: false,
                spawns: false,
                recipe: None,
                reads: [],
                reads_recipe: false,
                reads_last: [],
            },
            tools: None,
        },
        Step {
            name: StepName(
                "each",
            ),
            needs: [
                StepName(
                    "research",
                ),
            ],
            when: None,
            on_failure: Continue,
            foreach: Some(
                "steps.research.json.cities",
            ),
            gather: None,
            models: None,
            merge: None,
            not_by: None,
            min_success: Some(
                2,
            ),
            ends_early: false,
            gate: None,
            extract: None,
            validate: None,
            person: None,
            work: Work {
                job: "{\"prompt\":\"Describe {{ item }} ({{ index }}).\"}",
                templated: true,
                spawns: false,
                recipe: None,
                reads: [
                    StepName(
                        "research",
                    ),
                ],
                reads_recipe: false,
                reads_last: [],
            },
            tools: None,
        },
        Step {
            name: StepName(
                "merge",
            ),
            needs: [
                StepName(
                    "each",
                ),
            ],
            when: None,
            on_failure: Fail,
            foreach: None,
            gather: Some(
                StepName(
                    "each",
                ),
            ),
            models: None,
            merge: None,
            not_by: None,
            min_success: None,
            ends_early: false,
            gate: None,
            extract: None,
            validate: None,
            person: None,
            work: Work {
                job: "{\"messages\":[{\"role\": \"user\", \"content\": \"{{ gathered | length }}\"}]}",
                templated: true,
                spawns: false,
                recipe: None,
                reads: [
                    StepName(
                        "each",
                    ),
                ],
                reads_recipe: false,
                reads_last: [],
            },
            tools: None,
        },
        Step {
            name: StepName(
                "check",
            ),
            needs: [
                StepName(
                    "merge",
                ),
            ],
            when: Some(
                "steps.merge.json.score > 7",
            ),
            on_failure: Escalate,
            foreach: None,
            gather: None,
            models: None,
            merge: None,
            not_by: None,
            min_success: None,
            ends_early: false,
            gate: None,
            extract: None,
            validate: None,
            person: None,
            work: Work {
                job: "{\"prompt\":\"{{ steps.research.summary }} {{ chain.name }}\",\"system\":\"You are strict.\"}",
                templated: true,
                spawns: false,
                recipe: None,
                reads: [
                    StepName(
                        "merge",
                    ),
                    StepName(
                        "research",
                    ),
                ],
                reads_recipe: false,
                reads_last: [],
            },
            tools: None,
        },
    ]
    "#);
    insta::assert_debug_snapshot!(document.on_complete, @r#"
    Some(
        Job(
            Work {
                job: "{\"prompt\":\"Tell of {{ steps.merge.output }}\"}",
                templated: true,
                spawns: false,
                recipe: None,
                reads: [
                    StepName(
                        "merge",
                    ),
                ],
                reads_recipe: false,
                reads_last: [],
            },
        ),
    )
    "#);
    let dependents = document.dependents();
    let of = |name: &str| -> Vec<_> {
        let name = super::StepName::parse(name).unwrap();
        let steps = dependents.get(&name).into_iter().flatten();
        steps.map(|step| step.name.as_str()).collect()
    };
    assert_eq!(of("research"), ["each"]);
    assert_eq!(of("each"), ["merge"]);
    assert!(of("check").is_empty());
}

#[test]
fn a_step_alone_is_a_chain() {
    let document = good(r#"{"steps":[{"name":"a","prompt":"p"}]}"#);
    assert_eq!(
        (document.id, document.max_parallel, document.fail_fast),
        (None, None, false)
    );
    let step = &document.steps[0];
    assert_eq!(step.work.job, r#"{"prompt":"p"}"#);
    assert!(!step.work.templated && step.work.reads.is_empty());
}

#[test]
fn a_webhook_is_kept_as_it_is_written() {
    let document = good(
        r#"{"steps":[{"name":"a","prompt":"p"}],"on_complete":{"webhook":"https://example.com/x?y"}}"#,
    );
    let url = "https://example.com/x?y".to_owned();
    assert_eq!(document.on_complete, Some(OnComplete::Webhook(url)));
}

#[test]
fn the_hash_is_of_what_is_said() {
    let hash = |text: &str| good(text).hash().clone();
    let one = hash(r#"{"id":"x","name":"n","steps":[{"name":"a","prompt":"p","max_tokens":5}]}"#);
    let spelled =
        r#" {"steps":[{"max_tokens":5,"prompt":"\u0070","name":"a"}],"name":"n","id":"y"}"#;
    assert_eq!(one, hash(spelled));
    for other in [
        r#"{"name":"n","steps":[{"name":"a","prompt":"q","max_tokens":5}]}"#,
        r#"{"name":"m","steps":[{"name":"a","prompt":"p","max_tokens":5}]}"#,
        r#"{"name":"n","steps":[{"name":"a","prompt":"p","max_tokens":5,"on_failure":"continue"}]}"#,
        r#"{"name":"n","more":1,"steps":[{"name":"a","prompt":"p","max_tokens":5}]}"#,
    ] {
        assert_ne!(one, hash(other), "{other}");
    }
}
