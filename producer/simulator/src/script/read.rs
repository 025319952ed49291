//! Reads a script, and reports all that is wrong with it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use longshore_settings::{
    At, ConfigError, Environment, Form, Found, Node, Part, Placed as _, Reader, Text,
    form::{duration, flag, whole},
    part, yaml,
};
use regex::Regex;
use serde_json::value::{RawValue, to_raw_value};

use super::{Response, Rule, Script, ScriptedCall, ScriptedUsage, Unmatched, When};
use crate::{dialect::Dialect, markers::Ending};

const DAY: Duration = Duration::from_hours(24);

/// The names of faults are those of the markers.
pub(super) const FAULTS: [(&str, Ending); 10] = [
    ("context", Ending::Context),
    ("quota", Ending::Quota),
    ("drop", Ending::Dropped),
    ("drop_billed", Ending::DroppedBilled),
    ("hang", Ending::Hung),
    ("garbage", Ending::Garbage),
    ("empty", Ending::Empty),
    ("length", Ending::Length),
    ("refuse", Ending::Refused),
    ("refuse_prompt", Ending::Blocked),
];

part! {
    struct RawScript {
        unmatched: Option<Text>,
        rules: Option<Vec<RawRule>>,
    }
}

part! {
    struct RawRule {
        name: Option<Text>,
        when: Option<RawWhen>,
        per_prompt: Option<Text>,
        then: Option<OneOrMore<RawResponse>>,
    }
}

part! {
    struct RawWhen {
        provider: Option<Text>,
        dialect: Option<Text>,
        model: Option<Text>,
        prompt_contains: Option<OneOrMore<Text>>,
        prompt_matches: Option<Text>,
        json: Option<Text>,
        tool: Option<Text>,
        from: Option<Text>,
        until: Option<Text>,
    }
}

part! {
    struct RawResponse {
        times: Option<Text>,
        latency: Option<Text>,
        hold: Option<Text>,
        status: Option<Text>,
        retry_after: Option<Text>,
        fault: Option<Text>,
        answer: Option<Node>,
        tool_calls: Option<Vec<RawCall>>,
        usage: Option<RawUsage>,
    }
}

part! {
    struct RawCall {
        name: Option<Text>,
        arguments: Option<Node>,
    }
}

part! {
    struct RawUsage {
        input: Option<Text>,
        output: Option<Text>,
        cached: Option<Text>,
        reasoning: Option<Text>,
    }
}

/// A list, or its only entry.
#[derive(Debug, Clone, Default)]
struct OneOrMore<T>(Vec<T>);

impl<T: Part> Part for OneOrMore<T> {
    fn read(node: &Node, at: &At<'_>, found: &mut Found<'_>) -> Self {
        Self(match node.as_list() {
            Some(_) => Vec::read(node, at, found),
            None => vec![T::read(node, at, found)],
        })
    }

    fn unreadable(line: Option<usize>) -> Self {
        Self(Vec::unreadable(line))
    }
}

impl Script {
    /// Reads a script. The error has all that is wrong with it, each with its line and a remedy.
    pub fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let parsed = yaml::parse_fields::<RawScript>(path, text)?;
        let environment = Environment::default();
        let mut reader = Reader::new(&environment, path, []);
        let raw = reader.adopt(parsed);
        let script = read_script(&mut reader, raw);
        let problems = reader.finish().problems;
        if problems.is_empty() {
            Ok(script)
        } else {
            Err(problems.into())
        }
    }
}

fn read_script(reader: &mut Reader<'_>, raw: RawScript) -> Script {
    let meanings = [("answer", Unmatched::Answer), ("refuse", Unmatched::Refuse)];
    let unmatched = word(reader, "unmatched", raw.unmatched.as_ref(), &meanings);
    let mut lines = BTreeMap::new();
    let mut rules: Vec<Rule> = Vec::new();
    let mut is_last = false;
    for (number, raw) in (1..).zip(raw.rules.unwrap_or_default()) {
        let (place, named) = (raw.place().clone(), raw.name.clone());
        if let Some(Rule { name, .. }) = rules.last().filter(|_| is_last) {
            let text = format!(
                "this rule is never reached: `{name}` is for all calls; put it before that one"
            );
            reader.problem_at(&place, text);
        }
        let problems = reader.problem_count();
        let rule = read_rule(reader, number, raw);
        // A rule that is not sound may be meant for fewer calls.
        is_last = reader.problem_count() == problems && is_for_all_calls(&rule);
        if let Some(first) = lines.insert(rule.name.clone(), place.line()) {
            let first = first.map_or_else(String::new, |line| format!(" on line {line}"));
            let text = format!(
                "`{}` is the name of another rule{first}, too; give each its own",
                rule.name
            );
            reader.problem_at(named.as_ref().unwrap_or(&place), text);
        }
        rules.push(rule);
    }
    Script {
        unmatched: unmatched.unwrap_or_default(),
        rules,
    }
}

fn is_for_all_calls(rule: &Rule) -> bool {
    let is_endless = rule.then.iter().any(|response| response.times.is_none());
    rule.when.matches_all() && is_endless && !rule.then.is_empty()
}

fn read_rule(reader: &mut Reader<'_>, number: usize, raw: RawRule) -> Rule {
    let place = raw.place().clone();
    let then = raw.then.map(|OneOrMore(responses)| responses);
    match then.as_deref() {
        None | Some([]) if !place.is_unreadable() => {
            let text =
                "this rule has no `then`; expected a response, such as `then: {answer: Hello}`";
            reader.problem_at(&place, text);
        }
        _ => {}
    }
    let mut responses = Vec::new();
    let mut is_last = false;
    for raw in then.unwrap_or_default() {
        if is_last {
            let text = "this response is never reached: the one before it is for all further calls; give that one `times`";
            reader.problem_at(raw.place(), text);
        }
        is_last = raw.times.is_none();
        responses.push(read_response(reader, raw));
    }
    let name = text(reader, "rules.name", raw.name.as_ref());
    let per_prompt = value(reader, "rules.per_prompt", raw.per_prompt.as_ref(), &flag());
    Rule {
        name: name.unwrap_or_else(|| format!("rule {number}")),
        when: read_when(reader, raw.when.unwrap_or_default()),
        per_prompt: per_prompt.unwrap_or_default(),
        then: responses,
    }
}

fn read_when(reader: &mut Reader<'_>, raw: RawWhen) -> When {
    let dialects = Dialect::ALL.map(|dialect| (dialect.as_str(), dialect));
    let contains = raw.prompt_contains.map(|OneOrMore(texts)| texts);
    let time = duration(Duration::ZERO..=DAY);
    let from = value(reader, "rules.when.from", raw.from.as_ref(), &time);
    let until = value(reader, "rules.when.until", raw.until.as_ref(), &time);
    let from = from.unwrap_or_default();
    if until.is_some_and(|until| until <= from) {
        let text = "`rules.when.until` is not after `rules.when.from`; expected a later time";
        reader.problem_near(raw.until.as_ref(), text);
    }
    When {
        provider: text(reader, "rules.when.provider", raw.provider.as_ref()),
        dialect: word(
            reader,
            "rules.when.dialect",
            raw.dialect.as_ref(),
            &dialects,
        ),
        model: text(reader, "rules.when.model", raw.model.as_ref()),
        prompt_contains: contains
            .iter()
            .flatten()
            .filter_map(|one| text(reader, "rules.when.prompt_contains", Some(one)))
            .collect(),
        prompt_matches: pattern(reader, raw.prompt_matches.as_ref()),
        json: value(reader, "rules.when.json", raw.json.as_ref(), &flag()),
        tool: text(reader, "rules.when.tool", raw.tool.as_ref()),
        from,
        until,
    }
}

fn pattern(reader: &mut Reader<'_>, written: Option<&Text>) -> Option<Regex> {
    const NAME: &str = "rules.when.prompt_matches";
    let pattern = text(reader, NAME, written)?;
    match Regex::new(&pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            // The last line of several says what is wrong; those before draw where.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.trim_start_matches("error: ");
            let text = format!(
                "`{NAME}` is no regular expression: {why}; quote special characters with a backslash"
            );
            reader.problem_near(written, text);
            None
        }
    }
}

fn read_response(reader: &mut Reader<'_>, raw: RawResponse) -> Response {
    check_combination(reader, &raw);
    let time = duration(Duration::ZERO..=DAY);
    let times = whole(1..=1_000_000);
    Response {
        times: value(reader, "rules.then.times", raw.times.as_ref(), &times),
        latency: value(reader, "rules.then.latency", raw.latency.as_ref(), &time),
        hold: value(reader, "rules.then.hold", raw.hold.as_ref(), &flag()).unwrap_or_default(),
        status: value(
            reader,
            "rules.then.status",
            raw.status.as_ref(),
            &whole(400..=599),
        ),
        retry_after: value(
            reader,
            "rules.then.retry_after",
            raw.retry_after.as_ref(),
            &time,
        ),
        fault: word(reader, "rules.then.fault", raw.fault.as_ref(), &FAULTS),
        answer: raw.answer.as_ref().map(answer_text),
        tool_calls: raw
            .tool_calls
            .into_iter()
            .flatten()
            .filter_map(|call| read_call(reader, &call))
            .collect(),
        usage: raw.usage.map(|usage| read_usage(reader, &usage)),
    }
}

/// A text as it is; anything else as JSON.
fn answer_text(node: &Node) -> String {
    match node.as_text() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(node).unwrap_or_default(),
    }
}

/// Reports fields of which one has no effect beside the other.
fn check_combination(reader: &mut Reader<'_>, raw: &RawResponse) {
    let fault = raw.fault.as_ref().map_or("", Text::as_str);
    let is_error = raw.status.is_some() || ["context", "quota", "drop"].contains(&fault);
    let has_words = raw.answer.is_some() || raw.tool_calls.is_some();
    let wrong = [
        (
            raw.answer.is_some() && raw.tool_calls.is_some(),
            "`answer` and `tool_calls` exclude each other; keep one",
        ),
        (
            raw.status.is_some() && raw.fault.is_some(),
            "`status` and `fault` exclude each other; keep one",
        ),
        (
            raw.status.is_some() && has_words,
            "an error has neither `answer` nor `tool_calls`; remove them, or `status`",
        ),
        (
            raw.fault.is_some() && fault != "length" && has_words,
            "this `fault` leaves no room for `answer` or `tool_calls`; remove them, or use `fault: length`",
        ),
        (
            raw.retry_after.is_some() && raw.status.is_none() && fault != "quota",
            "`retry_after` needs a `status` such as 429, or `fault: quota`",
        ),
        (
            raw.usage.is_some() && is_error,
            "an error is not billed; remove `usage`",
        ),
    ];
    for (_, text) in wrong.into_iter().filter(|(is_wrong, _)| *is_wrong) {
        reader.problem_at(raw.place(), text);
    }
}

fn read_call(reader: &mut Reader<'_>, raw: &RawCall) -> Option<ScriptedCall> {
    if raw.name.is_none() {
        let text = "this call has no `name`; expected that of a tool";
        reader.problem_at(raw.place(), text);
    }
    let name = text(reader, "rules.then.tool_calls.name", raw.name.as_ref())?;
    let arguments = match &raw.arguments {
        None => RawValue::from_string("{}".to_owned()).ok(),
        Some(arguments) if arguments.as_map().is_some() => to_raw_value(arguments).ok(),
        Some(_) => {
            let text = "`arguments` is not a map; expected `arguments: {name: value}`";
            reader.problem_at(raw.place(), text);
            None
        }
    };
    Some(ScriptedCall {
        name,
        arguments: arguments?,
    })
}

fn read_usage(reader: &mut Reader<'_>, raw: &RawUsage) -> ScriptedUsage {
    let mut count = |name: &str, written: Option<&Text>| {
        let form = whole(0..=1_000_000_000_u32);
        let name = format!("rules.then.usage.{name}");
        value(reader, &name, written, &form).unwrap_or_default()
    };
    let usage = ScriptedUsage {
        input: count("input", raw.input.as_ref()),
        output: count("output", raw.output.as_ref()),
        cached: count("cached", raw.cached.as_ref()),
        reasoning: count("reasoning", raw.reasoning.as_ref()),
    };
    if usage.cached > usage.input {
        let text = "`cached` tokens are a part of `input`; expected at most as many";
        reader.problem_near(raw.cached.as_ref(), text);
    }
    if usage.reasoning > usage.output {
        let text = "`reasoning` tokens are a part of `output`; expected at most as many";
        reader.problem_near(raw.reasoning.as_ref(), text);
    }
    usage
}

/// A value that has a form.
fn value<T>(
    reader: &mut Reader<'_>,
    name: &str,
    written: Option<&Text>,
    form: &Form<T>,
) -> Option<T> {
    reader.value(name, written?, form)
}

/// A text that is used as it is written.
fn text(reader: &mut Reader<'_>, name: &str, written: Option<&Text>) -> Option<String> {
    let written = written.filter(|text| !text.is_unreadable())?;
    if written.as_str().is_empty() {
        reader.problem_at(
            written,
            format!("`{name}` is empty; expected a text, or remove it"),
        );
        return None;
    }
    Some(written.as_str().to_owned())
}

/// One of some words, each with its meaning.
fn word<T: Copy>(
    reader: &mut Reader<'_>,
    name: &str,
    written: Option<&Text>,
    meanings: &[(&'static str, T)],
) -> Option<T> {
    let words: Vec<&'static str> = meanings.iter().map(|(word, _)| *word).collect();
    let expected = format!("one of {}", words.join(", "));
    let form = Form::new(expected, move |text| {
        words.iter().copied().find(|word| *word == text)
    });
    let found = value(reader, name, written, &form)?;
    let mut meanings = meanings.iter();
    meanings.find_map(|(word, meaning)| (*word == found).then_some(*meaning))
}
