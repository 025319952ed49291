//! The words of an answer.

use std::borrow::Cow;

use serde_json::{Value, json, value::RawValue};

use super::{
    ask::{Ask, Shape},
    markers::{Ending, Markers, without_markers},
    schema, words,
};

/// The answer's text and how it ends; an answer that outgrows its token limit is cut short.
pub(super) fn compose<'a>(
    ask: &Ask<'_>,
    markers: &Markers<'a>,
    ending: Ending,
) -> (Cow<'a, str>, Ending) {
    let whole = match (ending, markers.echo) {
        (Ending::Refused, _) => Cow::Borrowed("I'm sorry, but I can't help with that."),
        (Ending::Empty | Ending::Blocked, _) => Cow::Borrowed(""),
        (_, Some(echo)) => Cow::Borrowed(echo),
        _ => Cow::Owned(words_or_json(ask)),
    };
    if ending == Ending::Length && markers.echo.is_none() {
        let half = whole.chars().count() / 2;
        return (Cow::Owned(whole.chars().take(half).collect()), ending);
    }
    // Token counts that a marker sets are used as they are, so nothing is cut.
    let limit = ask.max_output.filter(|_| markers.tokens.is_none());
    let limit = limit.and_then(|tokens| usize::try_from(tokens.saturating_mul(4)).ok());
    match limit {
        Some(limit) if whole.len() > limit && whole.chars().count() > limit => {
            let end = if ending == Ending::Whole {
                Ending::Length
            } else {
                ending
            };
            (Cow::Owned(whole.chars().take(limit).collect()), end)
        }
        _ => (whole, ending),
    }
}

/// The tool that the model calls by itself instead of an answer, with its arguments; `None` if it answers.
pub(super) fn call<'a>(
    ask: &'a Ask<'_>,
    markers: &Markers<'_>,
) -> Option<(&'a str, Box<RawValue>)> {
    if ask.tools.is_answered || !ask.tools.is_forced && !markers.calls {
        return None;
    }
    let tool = ask.tools.chosen()?;
    let schema = tool
        .schema
        .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let arguments = schema.map_or_else(|| json!({}), |schema| schema::instance(&schema));
    let arguments = RawValue::from_string(arguments.to_string()).ok()?;
    Some((&tool.name, arguments))
}

/// What an answer says when no marker decides it: JSON if the call or its prompt asks for JSON.
fn words_or_json(ask: &Ask<'_>) -> String {
    let plain = if ask.prompt.contains("[[") {
        Cow::Owned(without_markers(&ask.prompt))
    } else {
        Cow::Borrowed(&*ask.prompt)
    };
    let schema = match ask.shape {
        Shape::Text => words::requested_schema(&plain),
        Shape::Json(None) => Some(words::object_schema(&plain)),
        Shape::Json(Some(raw)) => serde_json::from_str(raw.get()).ok(),
    };
    schema.map_or_else(
        || sentences(&plain, &ask.model),
        |schema| schema::instance(&schema).to_string(),
    )
}

/// Two sentences that depend only on the prompt and the model.
fn sentences(plain: &str, model: &str) -> String {
    let mut text = String::with_capacity(160);
    text.push_str("You asked: \"");
    for (n, word) in plain.split_whitespace().take(8).enumerate() {
        if n > 0 {
            text.push(' ');
        }
        text.extend(word.chars().take(24));
    }
    text.push_str("\". This is a simulated answer from ");
    text.push_str(model);
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Tools;

    fn ask(prompt: &str, max_output: Option<u64>) -> Ask<'_> {
        Ask {
            model: "m".into(),
            prompt: prompt.into(),
            max_output,
            shape: Shape::Text,
            tools: Tools::default(),
            logprobs: false,
        }
    }

    #[test]
    fn the_answer_quotes_the_prompt_without_its_markers() {
        let ask = ask(
            "[[tokens=1,1]] one [[x]] two three four five six seven eight nine",
            None,
        );
        let (text, ending) = compose(&ask, &Markers::default(), Ending::Whole);
        assert_eq!(
            text,
            "You asked: \"one two three four five six seven eight\". This is a simulated answer from m."
        );
        assert_eq!(ending, Ending::Whole);
    }

    #[test]
    fn a_marker_asks_for_no_json() {
        let ask = ask("[[x=as JSON]] hello", None);
        let (text, _) = compose(&ask, &Markers::default(), Ending::Whole);
        assert!(text.starts_with("You asked: \"hello\""), "{text}");
    }

    #[test]
    fn an_answer_stops_at_its_limit() {
        let ask = ask("é [[echo=éééééééé]]", Some(1));
        let markers = Markers::read(&ask.prompt);
        assert_eq!(
            compose(&ask, &markers, Ending::Whole),
            ("éééé".into(), Ending::Length)
        );
    }
}
