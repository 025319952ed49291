//! Every error text, and several errors at once.

use super::read;
use crate::review::DefaultVerdict;

/// The errors of a chain with these steps.
fn of_steps(steps: &str) -> String {
    wrong(&format!(r#"{{"steps":[{steps}]}}"#))
}

fn wrong(text: &str) -> String {
    match read(text) {
        Ok(document) => panic!("{text} was accepted: {document:?}"),
        Err(bad) => bad.to_string(),
    }
}

#[test]
fn all_faults_are_told_at_once() {
    insta::assert_snapshot!(wrong(r#"{
      "id": "a b", "max_parallel": 0, "fail_fast": "yes", "on_complete": {"webhook": "ftp://x"},
      "steps": [
        {"name": "a", "needs": ["b"], "prompt": "p"},
        {"name": "b", "needs": ["c"], "prompt": "p"},
        {"name": "c", "needs": ["a", "nowhere"], "prompt": "p"},
        {"name": "a", "prompt": "p"},
        {"name": "1st", "prompt": "p"},
        {"needs": ["d"], "prompt": "p"},
        {"name": "d", "needs": ["d"], "prompt": "", "id": "x"},
        {"name": "e", "prompt": "{{ steps.f.output }} {{ item }} {{ gathered }}", "when": "steps.", "min_success": 2},
        {"name": "f", "gather": "e", "prompt": "{{ steps }}", "max_tokens": "many"},
        5
      ]}"#), @r#"
    field `id`: expected text of 1 to 64 characters of [A-Za-z0-9._:@-], but got "a b"
    field `max_parallel`: expected a whole number from 1 to 100000, but got 0
    field `fail_fast`: expected true or false, but got "yes"
    field `on_complete`: `webhook`: expected a URL of http or https, such as "https://example.com/done", but got "ftp://x"
    step 5: field `name`: expected a letter or `_`, then letters, digits or `_`, at most 48 in all, but got "1st"
    step 6: field `name`: expected a name, but there is none
    step `d`: field `id`: comes from the chain: leave it out
    step `d`: field `prompt`: expected text that is not empty, but got ""
    step `e`: field `when`: not an expression: unexpected end of input, expected identifier or integer
    step `f`: field `prompt`: `steps`: expected `steps.` and the name of a step
    step `f`: field `max_tokens`: expected a whole number from 1 to 10000000, but got "many"
    step 10: expected a step, an object, but got 5
    step 4: field `name`: `a` is the name of step 1 as well; expected another
    step `d`: field `needs`: a step cannot need itself
    steps need one another in a circle: a → b → c → a
    step `e`: field `min_success`: expected `foreach` or `needs` beside it, but there is neither
    step `e`: field `prompt`: there is no `item` or `index`; expected `foreach` in this step
    step `e`: field `prompt`: there is nothing `gathered`; expected `gather` in this step
    step `e`: field `prompt`: `steps.f`: step `f` is not done before; expected it in `needs`, or before one that is
    step `f`: field `gather`: step `e` does not fan out; expected one with `foreach`, `models` or `spawn`
    "#);
}

#[test]
fn faults_of_the_whole() {
    for (text, words) in [
        (
            "",
            "expected `chain` to be a JSON object, but it is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        ("[]", "expected `chain` to be a JSON object, but got a list"),
        (
            "{}",
            "field `steps`: expected a list of steps, but there is none",
        ),
        (
            r#"{"steps":[]}"#,
            "field `steps`: expected at least one step, but got []",
        ),
        (
            r#"{"steps":{}}"#,
            "field `steps`: expected a list of steps, but got {}",
        ),
        (
            r#"{"_a":1,"steps":[{"name":"a","prompt":"p"}]}"#,
            "field `_a`: names that begin with `_` are reserved for the server",
        ),
        (
            r#"{"v":2}"#,
            "field `v`: expected version 1 of the protocol, but got 2",
        ),
    ] {
        assert_eq!(wrong(text), words, "{text}");
    }
    let many = vec![r#"{"name":"a"}"#; 10_001].join(",");
    assert_eq!(
        of_steps(&many),
        "field `steps`: expected at most 10000 steps, but got 10001"
    );
    let limits = crate::envelope::MessageLimits {
        max_chain_bytes: 10,
        ..crate::envelope::MessageLimits::default()
    };
    let bad = super::parse(r#"{"steps":[]}"#, &limits).unwrap_err();
    assert_eq!(bad.to_string(), "expected at most 10 bytes, but got 12");
}

#[test]
fn faults_of_the_chains_own_fields() {
    for (field, words) in [
        (
            r#""id":"1795232878059-0""#,
            "field `id`: expected an id that is not of the server's own form (1795232878059-0, queue:1795232878059-0), but got \"1795232878059-0\"",
        ),
        (
            r#""id":"a/b""#,
            "field `id`: expected text of 1 to 64 characters of [A-Za-z0-9._:@-], but got \"a/b\"",
        ),
        (
            r#""name":"""#,
            "field `name`: expected text of 1 to 200 characters without control characters, but got \"\"",
        ),
        (
            r#""max_cost_usd":2.5"#,
            "field `max_cost_usd`: expected US dollars over 0 as decimal text, such as \"0.05\", but got 2.5",
        ),
        (
            r#""deadline":-1"#,
            "field `deadline`: expected a time as RFC 3339 with an offset (2026-12-01T09:00:00Z), milliseconds since 1970, or seconds after the message was enqueued, from 0 to 31536000, but got -1",
        ),
        (
            r#""metadata":[]"#,
            "field `metadata`: expected an object, but got []",
        ),
        (
            r#""reply":1"#,
            "field `reply`: expected true, false, or `@` and a name of 1 to 64 characters of [A-Za-z0-9_-], but got 1",
        ),
        (
            r#""on_complete":{}"#,
            "field `on_complete`: expected an object of either `job` (a job) or `webhook` (a URL), but got {}",
        ),
        (
            r#""on_complete":{"job":{"prompt":""}}"#,
            "field `on_complete`: field `prompt`: expected text that is not empty, but got \"\"",
        ),
        (
            r#""on_complete":{"job":{"prompt":"p","reply":true}}"#,
            "field `on_complete`: field `reply`: comes from the chain: leave it out",
        ),
        (
            r#""on_complete":{"job":{"prompt":"{{ steps.b.output }}"}}"#,
            "field `on_complete`: field `prompt`: `steps.b`: there is no step `b`",
        ),
        (
            r#""on_complete":{"job":{"prompt":"{{ item }}"}}"#,
            "field `on_complete`: field `prompt`: after the end there is no `item`, `index` or `gathered`",
        ),
        (
            r#""on_complete":{"webhook":"example.com"}"#,
            "field `on_complete`: `webhook`: expected a URL of http or https, such as \"https://example.com/done\", but got \"example.com\"",
        ),
    ] {
        let text = format!(r#"{{{field},"steps":[{{"name":"a","prompt":"p"}}]}}"#);
        assert_eq!(wrong(&text), words, "{field}");
    }
}

#[test]
fn faults_of_a_step() {
    for (steps, words) in [
        (
            r#""a""#,
            "step 1: expected a step, an object, but got \"a\"",
        ),
        (
            r#"{"prompt":"p"}"#,
            "step 1: field `name`: expected a name, but there is none",
        ),
        (
            r#"{"name":"a-b","prompt":"p"}"#,
            "step 1: field `name`: expected a letter or `_`, then letters, digits or `_`, at most 48 in all, but got \"a-b\"",
        ),
        (
            r#"{"name":"a"}"#,
            "step `a`: field `prompt`: expected `prompt`, or `messages`, but got neither",
        ),
        (
            r#"{"name":"a","prompt":"p","prompt":"q"}"#,
            "step 1: field `prompt`: expected it once, but got it more often",
        ),
        (
            r#"{"name":"a","prompt":"p","chain":{}}"#,
            "step `a`: field `chain`: a chain is a message of its own: expected `chain` as the only field of the entry",
        ),
        (
            r#"{"name":"a","prompt":"p","chain_id":"x"}"#,
            "step `a`: field `chain_id`: comes from the chain: leave it out",
        ),
        (
            r#"{"name":"a","prompt":"p","needs":"b"}"#,
            "step `a`: field `needs`: expected a list of names of steps, but got \"b\"",
        ),
        (
            r#"{"name":"a","prompt":"p","needs":["b"]}"#,
            "step `a`: field `needs`: there is no step `b`",
        ),
        (
            r#"{"name":"a","prompt":"p","needs":["a"]}"#,
            "step `a`: field `needs`: a step cannot need itself",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","prompt":"p","needs":["b","b"]}"#,
            "step `a`: field `needs`: expected each name once, but got `b` more often",
        ),
        (
            r#"{"name":"a","prompt":"p","on_failure":"retry"}"#,
            "step `a`: field `on_failure`: expected fail, continue or escalate, but got \"retry\"",
        ),
        (
            r#"{"name":"a","prompt":"p","when":""}"#,
            "step `a`: field `when`: expected text that is not empty, but got \"\"",
        ),
        (
            r#"{"name":"a","prompt":"p","when":"1 +"}"#,
            "step `a`: field `when`: not an expression: unexpected end of input, expected expression",
        ),
        (
            r#"{"name":"a","prompt":"p","foreach":"{{ x }}"}"#,
            "step `a`: field `foreach`: expected an expression without `{{` and `}}`",
        ),
        (
            r#"{"name":"a","prompt":"p","foreach":"[item]"}"#,
            "step `a`: field `foreach`: `item` and `index` are known once the step has fanned out, not before",
        ),
        (
            r#"{"name":"a","prompt":"{{ item }}"}"#,
            "step `a`: field `prompt`: there is no `item` or `index`; expected `foreach` in this step",
        ),
        (
            r#"{"name":"a","prompt":"{{ gathered }}"}"#,
            "step `a`: field `prompt`: there is nothing `gathered`; expected `gather` in this step",
        ),
        (
            r#"{"name":"a","prompt":"p","gather":"b"}"#,
            "step `a`: field `gather`: there is no step `b`",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","prompt":"p","gather":"b"}"#,
            "step `a`: field `gather`: step `b` does not fan out; expected one with `foreach`, `models` or `spawn`",
        ),
        (
            r#"{"name":"a","prompt":"p","min_success":1}"#,
            "step `a`: field `min_success`: expected `foreach` or `needs` beside it, but there is neither",
        ),
        (
            r#"{"name":"a","prompt":"p","foreach":"[1]","min_success":0}"#,
            "step `a`: field `min_success`: expected a whole number from 1 to 100000, but got 0",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","needs":["b"],"prompt":"p","min_success":2}"#,
            "step `a`: field `min_success`: expected a number from 1 to 1, the number of its needs, but got 2",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","system":"{{ steps.b.output }}","prompt":"p"}"#,
            "step `a`: field `system`: `steps.b`: step `b` is not done before; expected it in `needs`, or before one that is",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","needs":["b"],"prompt":"{{ steps.b.outputs }}"}"#,
            "step `a`: field `prompt`: `steps.b.outputs`: step `b` does not fan out; expected one of output, summary, json, code, blocks, answers, tool_calls, cost, state, ok, model, platform, tokens, gate, diff, validation, review",
        ),
        (
            r#"{"name":"b","foreach":"[1]","prompt":"p"},{"name":"a","needs":["b"],"prompt":"{{ steps.b.output }}"}"#,
            "step `a`: field `prompt`: `steps.b.output`: step `b` fans out; expected one of outputs, items",
        ),
        (
            r#"{"name":"a","prompt":"{{ steps.a.output }}"}"#,
            "step `a`: field `prompt`: `steps.a`: step `a` is not done before; expected it in `needs`, or before one that is",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","extract":"xml","prompt":"p"}"#,
            "step `a`: field `extract`: expected code, json or diff, but got \"xml\"",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"checks":[]},"prompt":"p"}"#,
            "step `a`: field `validate`: expected an object of `of`, the step to check, and `checks` or `rubric`, but got {\"checks\":[]}",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"of":"b"}}"#,
            "step `a`: field `validate`: expected `checks`, or a `prompt` beside it (the task of the answer) for a model that judges it",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"of":"b","checks":[{"min_length":1}]},"system":"s"}"#,
            "step `a`: field `system`: needs a `prompt` beside `validate`: the task of the answer, for the model that judges it",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"of":"b","checks":[{"matches":"("}]}}"#,
            "step `a`: field `validate`: `checks`: check 1: `matches`: expected a regular expression, but got one with a fault: unclosed group",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"of":"b","checks":[{"regex":"x"}]}}"#,
            "step `a`: field `validate`: `checks`: check 1: expected an object with one of json_schema, matches, not_matches, min_length or max_length, but got {\"regex\":\"x\"}",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"of":"b","check":[]},"prompt":"p"}"#,
            "step `a`: field `validate`: expected `of`, `checks` or `rubric`, but got `check`",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"of":"b"},"spawn":true,"prompt":"p"}"#,
            "step `a`: field `spawn`: cannot stand beside `validate`: the answer of the step is a verdict",
        ),
        (
            r#"{"name":"b","prompt":"p"},{"name":"a","validate":{"of":"c"},"prompt":"p"}"#,
            "step `a`: field `validate`: `steps.c`: there is no step `c`",
        ),
        (
            r#"{"name":"b","prompt":"p","models":2},{"name":"a","validate":{"of":"b"},"prompt":"p"}"#,
            "step `a`: field `validate`: `steps.b.output`: step `b` fans out; expected one of outputs, items",
        ),
        (
            r#"{"name":"a","messages":[{"role":"user","content":"p"},{"role":"user","content":"{{ x }}"}]}"#,
            "step `a`: field `messages`: message 2: `x`: expected steps, item, index, gathered or chain, or in a recipe job, parameters, round or last",
        ),
    ] {
        assert_eq!(of_steps(steps), words, "{steps}");
    }
}

#[test]
fn every_circle_is_named() {
    assert_eq!(
        of_steps(
            r#"{"name":"a","needs":["b"],"prompt":"p"},{"name":"b","needs":["c","a"],"prompt":"p"},
               {"name":"c","prompt":"p"},{"name":"x","needs":["y"],"prompt":"{{ steps.a.output }}"},
               {"name":"y","needs":["x","b"],"prompt":"p"}"#
        ),
        "steps need one another in a circle: a → b → a\n\
         steps need one another in a circle: x → y → x"
    );
}

#[test]
fn faults_of_several_models() {
    let faults = of_steps(
        r#"
        {"name": "a", "models": 0, "prompt": "p"},
        {"name": "b", "models": {"counts": 2}, "prompt": "p"},
        {"name": "c", "models": ["x", "x"], "prompt": "p"},
        {"name": "d", "models": 2, "min_success": 3, "prompt": "p"},
        {"name": "e", "merge": "vote", "prompt": "p"},
        {"name": "f", "models": 2, "merge": "both", "prompt": "p"},
        {"name": "g", "models": 2, "merge": {"by": "vote", "rubric": "short"}, "prompt": "p"},
        {"name": "h", "models": 2, "merge": {"by": "longest", "judge": {}}, "prompt": "p"},
        {"name": "i", "models": 2, "merge": {"by": "best_of", "judge": {"prompt": "x", "max_tokens": 0}}, "prompt": "p"},
        {"name": "j", "models": 2, "merge": {"by": "best_of", "rubrik": "x"}, "prompt": "p"},
        {"name": "k", "models": 2, "foreach": "[1]", "model": "m", "spawn": true, "on_failure": "escalate", "prompt": "p"},
        {"name": "l", "not_by": "nobody", "prompt": "p"},
        {"name": "m", "not_by": {"both": "a"}, "prompt": "p"},
        {"name": "n", "not_by": "o", "prompt": "p"},
        {"name": "o", "models": "all", "merge": "first", "prompt": "p"},
        {"name": "o_models", "prompt": "p"},
        {"name": "a_name_of_more_than_forty_one_characters_0", "models": 2, "merge": "first", "prompt": "p"}
    "#,
    );
    insta::assert_snapshot!(faults, @r#"
    step `a`: field `models`: expected a whole number from 1 to 16, but got 0
    step `b`: field `models`: expected all, a number, a list of names, {"count": 2} or {"category": "backend"}, but got {"counts": 2}
    step `c`: field `models`: expected each name once, but got `x` more often
    step `e`: field `merge`: expected `models` beside it, but there is none
    step `f`: field `merge`: expected first, longest, code, vote, best_of or synthesize, or an object with one of them as `by`, but got "both"
    step `g`: field `merge`: `rubric` belongs to best_of, but `by` is vote
    step `h`: field `merge`: `judge` belongs to best_of and synthesize, but `by` is longest
    step `i`: field `merge`: `judge`: field `prompt`: comes from the merge: leave it out
    step `i`: field `merge`: `judge`: field `max_tokens`: expected a whole number from 1 to 10000000, but got 0
    step `j`: field `merge`: expected `by`, `field`, `rubric`, `instructions` or `judge`, but got `rubrik`
    step `k`: field `foreach`: cannot stand beside `models`: a step fans out over one list or over models
    step `k`: field `spawn`: cannot stand beside `models`: the jobs would be spawned by each model
    step `k`: field `model`: cannot stand beside `models`: name it in `models`
    step `k`: field `on_failure`: cannot stand beside `models`: `escalate` needs a single model: use `models: [...]` of the higher tier
    step `m`: field `not_by`: expected the name of a step, a list of them, or one of both as {"platform": …} or {"model": …}, but got {"both": "a"}
    step `a_name_of_more_than_forty_one_characters_0`: field `name`: with `merge`, at most 41 characters: a second step is called `NAME_models`
    step 16: field `name`: `o_models` is the name of step 15 as well; expected another
    step `d`: field `min_success`: expected a number from 1 to 2, the number of its models, but got 3
    step `k`: field `spawn`: a step with `foreach` cannot spawn; expected one of the two
    step `l`: field `not_by`: `steps.nobody`: there is no step `nobody`
    step `n`: field `not_by`: `steps.o`: step `o` is not done before; expected it in `needs`, or before one that is
    "#);
}

#[test]
fn faults_of_steps_that_ask_a_person() {
    for (step, words) in [
        (
            r#"{"name":"a","person":"publish?"}"#,
            "step `a`: field `person`: expected what a person is asked, an object, but got \"publish?\"",
        ),
        (
            r#"{"name":"a","person":{}}"#,
            "step `a`: field `person`: field `question`: expected text, but there is none",
        ),
        (
            r#"{"name":"a","person":{"question":""}}"#,
            "step `a`: field `person`: field `question`: expected text that is not empty, but got \"\"",
        ),
        (
            r#"{"name":"a","person":{"question":"q","deadline":"24h"}}"#,
            "step `a`: field `person`: field `default`: expected approve or reject beside `deadline`, but there is none",
        ),
        (
            r#"{"name":"a","person":{"question":"q","default":"reject"}}"#,
            "step `a`: field `person`: field `deadline`: expected it beside `default`, but there is none",
        ),
        (
            r#"{"name":"a","person":{"question":"q","deadline":"1y","default":"reject"}}"#,
            "step `a`: field `person`: field `deadline`: expected seconds, or a number with a unit (s, m, h, d or w) such as 24h, over 0 and up to 365d, but got \"1y\"",
        ),
        (
            r#"{"name":"a","person":{"question":"q","deadline":0,"default":"perhaps"}}"#,
            "step `a`: field `person`: field `deadline`: expected seconds, or a number with a unit (s, m, h, d or w) such as 24h, over 0 and up to 365d, but got 0\n\
             step `a`: field `person`: field `default`: expected approve or reject, but got \"perhaps\"",
        ),
        (
            r#"{"name":"a","person":{"question":"q","who":"me"}}"#,
            "step `a`: field `person`: field `who`: expected question, artefact, deadline, default or asks",
        ),
        (
            r#"{"name":"a","person":{"question":"q","artefact":"{{ x }}"}}"#,
            "step `a`: field `person`: field `artefact`: `x`: expected steps, item, index, gathered or chain, or in a recipe job, parameters, round or last",
        ),
        (
            r#"{"name":"a","person":{"question":"{{ steps.b.output }}"}}"#,
            "step `a`: field `person`: field `question`: `steps.b`: there is no step `b`",
        ),
        (
            r#"{"name":"a","person":{"question":"q"},"prompt":"p","on_failure":"escalate"}"#,
            "step `a`: field `prompt`: cannot stand beside `person`: a person is asked, and no model is called\n\
             step `a`: field `on_failure`: a person has no higher tier: expected fail or continue",
        ),
        (
            r#"{"name":"a","person":{"question":"q"},"gate":"rust"}"#,
            "step `a`: field `gate`: cannot stand beside `person`: a person is asked, and no model is called",
        ),
    ] {
        assert_eq!(of_steps(step), words, "{step}");
    }
}

#[test]
fn a_person_is_asked_as_the_step_says() {
    let document = read(
        r#"{"steps":[{"name":"a","person":{"question":"q","artefact":"x","deadline":"90m","default":"approve","asks":"editors"}}]}"#,
    );
    let person = document.unwrap().steps.remove(0).person.unwrap();
    assert_eq!(person.deadline_ms, Some(5_400_000));
    assert_eq!(person.default, Some(DefaultVerdict::Approve));
    assert_eq!(person.asks.as_deref(), Some("editors"));
}

#[test]
fn faults_of_tools_by_name() {
    let definition = r#"{"type": "function", "function": {"name": "f"}}"#;
    for (fields, words) in [
        (
            format!(r#""tools": ["lookup", {definition}]"#),
            "step `a`: field `tools`: expected either names of tools, which the worker runs, or definitions of tools, which the producer runs, but got both",
        ),
        (
            r#""tools": ["two words"]"#.to_owned(),
            "step `a`: field `tools`: tool name `two words` is not valid: expected 1 to 64 characters of [A-Za-z0-9_-]",
        ),
        (
            r#""tools": ["lookup", "lookup"]"#.to_owned(),
            "step `a`: field `tools`: expected each name once, but got `lookup` more often",
        ),
        (
            r#""tools": ["run"]"#.to_owned(),
            "step `a`: field `tools`: `run` needs `workspace`, the name of a workspace of the configuration",
        ),
        (
            r#""tools": ["lookup"], "workspace": "app""#.to_owned(),
            "step `a`: field `workspace`: no tool works in it; expected one of read_file, list_files, search, edit_file, run in `tools`",
        ),
        (
            r#""tools": ["run"], "workspace": "a/b""#.to_owned(),
            "step `a`: field `workspace`: expected the name of a workspace: 1 to 64 characters of [A-Za-z0-9._-], but got \"a/b\"",
        ),
        (
            r#""workspace": "app", "max_rounds": 3"#.to_owned(),
            "step `a`: field `workspace`: needs `tools`, a list of names of tools\nstep `a`: field `max_rounds`: needs `tools`, a list of names of tools",
        ),
        (
            r#""tools": ["lookup"], "max_rounds": 31"#.to_owned(),
            "step `a`: field `max_rounds`: expected a whole number from 1 to 30, but got 31",
        ),
        (
            r#""tools": ["lookup"], "tool_choice": "required", "spawn": true"#.to_owned(),
            "step `a`: field `tool_choice`: cannot stand beside names of tools: the model decides in each round\nstep `a`: field `spawn`: cannot stand beside names of tools: the answer follows several calls",
        ),
    ] {
        let step = format!(r#"{{"name": "a", "prompt": "p", {fields}}}"#);
        assert_eq!(of_steps(&step), words, "{fields}");
    }
    let of_a_gate = of_steps(r#"{"name": "a", "gate": "g", "tools": ["run"], "workspace": "w"}"#);
    assert!(
        of_a_gate.contains("field `workspace`: cannot stand beside `gate`"),
        "{of_a_gate}"
    );
}
