//! What is wrong with a script is said with its line and a remedy, all at once; `docs/TESTING.md` has every field.

use std::{collections::BTreeSet, path::Path};

use super::{Script, read::FAULTS};
use crate::markers::Markers;

fn faults(text: &str) -> String {
    let error = Script::read(Path::new("script.yaml"), text).unwrap_err();
    error.to_string()
}

#[test]
fn all_faults_are_reported_together() {
    let script = "\
unmatched: fail
rulez: []
rules:
  - nam: a
    whn: {model: gpt-4o}
    then: {anser: hi}
  - when: {dialect: azure, prompt_matches: 'a(b', json: perhaps, from: 10s, until: 5s}
    then:
      - {status: 200}
      - {status: 503, answer: hi}
  - {name: same, when: {model: ''}, then: {fault: dorp}}
  - {name: same, then: {retry_after: 1s, usage: {input: 1, cached: 2}, times: 0}}
  - {name: no responses}
  - {name: all, then: {}}
  - {name: late, then: {tool_calls: [{arguments: []}, {name: f, arguments: 3}]}}
";
    let expected = "\
script.yaml:1: `unmatched` is `fail`; expected one of answer, refuse
script.yaml:2: `rulez` is not a field; did you mean `rules`?
script.yaml:4: `rules.nam` is not a field; did you mean `name`?
script.yaml:5: `rules.whn` is not a field; did you mean `when`?
script.yaml:6: `rules.then.anser` is not a field; did you mean `answer`?
script.yaml:7: `rules.when.until` is not after `rules.when.from`; expected a later time
script.yaml:7: `rules.when.dialect` is `azure`; expected one of openai, anthropic, gemini
script.yaml:7: `rules.when.prompt_matches` is no regular expression: unclosed group; quote special characters with a backslash
script.yaml:7: `rules.when.json` is `perhaps`; expected true or false
script.yaml:9: `rules.then.status` is `200`; expected a whole number from 400 to 599
script.yaml:10: this response is never reached: the one before it is for all further calls; give that one `times`
script.yaml:10: an error has neither `answer` nor `tool_calls`; remove them, or `status`
script.yaml:11: `rules.then.fault` is `dorp`; expected one of context, quota, drop, drop_billed, hang, garbage, empty, length, refuse, refuse_prompt
script.yaml:11: `rules.when.model` is empty; expected a text, or remove it
script.yaml:12: `retry_after` needs a `status` such as 429, or `fault: quota`
script.yaml:12: `rules.then.times` is `0`; expected a whole number from 1 to 1000000
script.yaml:12: `cached` tokens are a part of `input`; expected at most as many
script.yaml:12: `same` is the name of another rule on line 11, too; give each its own
script.yaml:13: this rule has no `then`; expected a response, such as `then: {answer: Hello}`
script.yaml:15: this rule is never reached: `all` is for all calls; put it before that one
script.yaml:15: this call has no `name`; expected that of a tool
script.yaml:15: `arguments` is not a map; expected `arguments: {name: value}`";
    assert_eq!(faults(script), expected);
}

#[test]
fn a_file_that_is_no_script_says_so() {
    assert_eq!(
        faults("rules: [}"),
        "script.yaml:1: this is not YAML, in or after `rules`: mismatched bracket '[' closed by '}'; expected \
         `name: value`, with quotes around a value that contains any of : # { } [ ] , & * ? | > @ `"
    );
    assert_eq!(
        faults("- a"),
        "script.yaml:1: the file is a list; expected a map: lines `name: value`"
    );
    assert!(
        Script::read(Path::new("empty.yaml"), "")
            .unwrap()
            .rules
            .is_empty()
    );
}

#[test]
fn fields_that_exclude_each_other_are_named() {
    let response = |fields: &str| faults(&format!("rules: [{{then: {{{fields}}}}}]"));
    for (fields, said) in [
        (
            "answer: a, tool_calls: [{name: f}]",
            "`answer` and `tool_calls` exclude each other",
        ),
        (
            "status: 500, fault: drop",
            "`status` and `fault` exclude each other",
        ),
        ("fault: hang, answer: a", "this `fault` leaves no room"),
        (
            "fault: context, usage: {input: 1}",
            "an error is not billed",
        ),
        (
            "usage: {output: 1, reasoning: 2}",
            "`reasoning` tokens are a part of `output`",
        ),
    ] {
        let found = response(fields);
        assert!(
            found.contains(said) && !found.contains('\n'),
            "{fields}: {found}"
        );
    }
    let sound = "rules: [{then: {fault: length, answer: cut, usage: {input: 9}}}]";
    assert!(Script::read(Path::new("s"), sound).is_ok());
}

/// One word for one thing.
#[test]
fn faults_have_the_names_of_markers() {
    for (name, ending) in FAULTS {
        let marker = match name {
            "refuse_prompt" => "[[refuse=prompt]]".to_owned(),
            name => format!("[[{name}]]"),
        };
        assert_eq!(Markers::read(&marker).ending, ending, "{marker}");
    }
}

/// The first cells of the table that follows a heading, or the header of a column.
fn documented(after: &str) -> BTreeSet<String> {
    let page = include_str!("../../../../docs/TESTING.md");
    let (_, rest) = page.split_once(after).unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with("| `"));
    let cells = rows.map_while(|line| line.strip_prefix("| ")?.split(" |").next());
    let names = cells.flat_map(|cell| cell.split(", "));
    names
        .map(|name| name.trim_matches('`').to_owned())
        .collect()
}

/// The fields that the reader knows where a script has one that it does not know.
fn understood(script: &str) -> BTreeSet<String> {
    let said = faults(script);
    let line = said
        .lines()
        .find(|line| line.contains("`zzzzzzzzzzzz`") || line.contains(".zzzzzzzzzzzz`"));
    let (_, names) = line.unwrap().split_once("expected one of ").unwrap();
    names.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_page_has_every_field_and_only_these() {
    for (heading, script) in [
        ("\n## Scripts\n", "zzzzzzzzzzzz: 1"),
        ("\n### Rules\n", "rules: [{zzzzzzzzzzzz: 1, then: {}}]"),
        (
            "\n### When\n",
            "rules: [{when: {zzzzzzzzzzzz: 1}, then: {}}]",
        ),
        ("\n### Then\n", "rules: [{then: {zzzzzzzzzzzz: 1}}]"),
    ] {
        assert_eq!(documented(heading), understood(script), "{heading}");
    }
    let faults: BTreeSet<_> = FAULTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(documented("\n| fault | effect |"), faults);
}
