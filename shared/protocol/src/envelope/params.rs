//! Readers of the parameters of a call.

use serde_json::{Value, value::RawValue};

use super::{
    fields::{self, Input, Problem, Read, decoded, is_plain},
    json::{Kind, Members},
    malformed::{MalformedCode, shortened},
    objects, options,
    parse::Reading,
};
use crate::call::{CallParams, ReasoningEffort, Tool, ToolChoice};

/// The most texts of `stop`: what the strictest of the large providers takes.
const MOST_STOPS: usize = 4;

/// The most tools of a job.
const MOST_TOOLS: usize = 128;

/// The largest whole number that every JSON parser reads exactly.
const LARGEST_SEED: i64 = (1 << 53) - 1;

/// Fields that are JSON in the flat form, too.
pub(super) const STRUCTURED: &[&str] = &["tools", "tool_choice", "stop", "provider_options"];

pub(super) fn params(r: &mut Reading<'_, '_>) -> CallParams {
    let params = CallParams {
        max_tokens: r.take("max_tokens", |value| fields::whole(value, 1..=10_000_000)),
        temperature: r.take("temperature", fields::temperature),
        response_format: r.take("response_format", objects::response_format),
        top_p: r.take("top_p", |value| {
            value.number_within(0.0..=1.0, false, "a number from 0 to 1")
        }),
        seed: r.take("seed", seed),
        stop: r.take("stop", stop).unwrap_or_default(),
        frequency_penalty: r.take("frequency_penalty", penalty),
        presence_penalty: r.take("presence_penalty", penalty),
        logprobs: r.take("logprobs", fields::boolean),
        top_logprobs: r.take("top_logprobs", |value| fields::whole(value, 0..=20)),
        reasoning_effort: r.take("reasoning_effort", effort),
        tools: r.take("tools", tools).unwrap_or_default(),
        tool_choice: r.take("tool_choice", tool_choice),
        parallel_tool_calls: r.take("parallel_tool_calls", fields::boolean),
        provider_options: r
            .take("provider_options", options::provider_options)
            .unwrap_or_default(),
    };
    check_companions(r, &params);
    params
}

/// Rejects parameters that mean nothing without another one.
fn check_companions(r: &mut Reading<'_, '_>, params: &CallParams) {
    if params.top_logprobs.is_some() && params.logprobs != Some(true) && !r.is_wrong("logprobs") {
        r.lacks("top_logprobs", "logprobs: true");
    }
    if r.is_wrong("tools") {
        return;
    }
    if params.tools.is_empty() {
        if params.tool_choice.is_some() {
            r.lacks("tool_choice", "tools");
        }
        if params.parallel_tool_calls.is_some() {
            r.lacks("parallel_tool_calls", "tools");
        }
    } else if let Some(ToolChoice::Function(name)) = &params.tool_choice
        && params.tools.iter().all(|tool| tool.name != *name)
    {
        let words = format!(
            "expected the name of a tool, but got \"{}\"",
            shortened(name)
        );
        r.add(MalformedCode::BadValue, "tool_choice", words);
    }
}

fn seed(input: Input<'_>) -> Read<i64> {
    let expected = format_args!("a whole number from -{LARGEST_SEED} to {LARGEST_SEED}");
    let number = input.number(false, expected)?;
    if number.is_finite() && number.fract() != 0.0 {
        return Err(input.is_not(MalformedCode::WrongType, expected));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, as was just seen; `as` saturates, which the range rejects"
    )]
    let seed = number as i64;
    if (-LARGEST_SEED..=LARGEST_SEED).contains(&seed) {
        Ok(seed)
    } else {
        Err(input.is_not(MalformedCode::OutOfRange, expected))
    }
}

fn penalty(input: Input<'_>) -> Read<f64> {
    input.number_within(-2.0..=2.0, false, "a number from -2 to 2")
}

/// One text or a list of them. In the flat form, a list begins with `[`.
fn stop(input: Input<'_>) -> Read<Vec<String>> {
    const EXPECTED: &str = "text, or a list of 1 to 4 texts, none of them empty";
    let texts = match input {
        Input::Text(text) if !text.starts_with('[') => vec![text.to_owned()],
        Input::Json(value) if Kind::detect(value) == Kind::Text => vec![decoded(value.get())?],
        _ => {
            let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
            list.into_iter()
                .map(|text| Input::Json(text).text("a list of texts"))
                .collect::<Read<_>>()?
        }
    };
    if texts.is_empty() || texts.len() > MOST_STOPS || texts.iter().any(String::is_empty) {
        return Err(input.is_not(MalformedCode::BadValue, EXPECTED));
    }
    Ok(texts)
}

fn effort(input: Input<'_>) -> Read<ReasoningEffort> {
    const EXPECTED: &str = "none, minimal, low, medium, high or xhigh";
    ReasoningEffort::from_name(&input.text(EXPECTED)?)
        .ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))
}

fn tool_choice(input: Input<'_>) -> Read<ToolChoice> {
    const EXPECTED: &str =
        "none, auto, required, or {\"type\": \"function\", \"function\": {\"name\": …}}";
    let wrong = || input.is_not(MalformedCode::BadValue, EXPECTED);
    let word = match input {
        Input::Text(text) if !text.starts_with('{') => Some(text.to_owned()),
        Input::Json(value) if Kind::detect(value) == Kind::Text => Some(decoded(value.get())?),
        _ => None,
    };
    if let Some(word) = word {
        return match word.as_str() {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            _ => Err(wrong()),
        };
    }
    let choice: Value = decoded(input.of_kind(Kind::Object, EXPECTED)?)?;
    let name = choice.pointer("/function/name").and_then(Value::as_str);
    match (choice.get("type").and_then(Value::as_str), name) {
        (Some("function"), Some(name)) => Ok(ToolChoice::Function(name.to_owned())),
        _ => Err(wrong()),
    }
}

fn tools(input: Input<'_>) -> Read<Vec<Tool>> {
    const EXPECTED: &str = "a list of 1 to 128 tools";
    let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
    if list.is_empty() || list.len() > MOST_TOOLS {
        return Err(Problem {
            code: MalformedCode::OutOfRange,
            message: format!("expected {EXPECTED}, but got {}", list.len()),
        });
    }
    if list.iter().any(|tool| Kind::detect(tool) == Kind::Text) {
        return Err(Problem {
            code: MalformedCode::BadValue,
            message: "expected definitions of tools, but got names: only a step of a chain names tools that the \
                      worker runs, and a recipe makes such a step of a job"
                .to_owned(),
        });
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(list.len());
    for (index, json) in list.into_iter().enumerate() {
        let tool = tool(json).map_err(|problem| problem.at(format_args!("tool {}", index + 1)))?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(Problem {
                code: MalformedCode::BadValue,
                message: format!(
                    "expected each name once, but got `{}` more often",
                    tool.name
                ),
            });
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn tool(json: &RawValue) -> Read<Tool> {
    let mut members = objects::object(json)?;
    let kind = members.take("type").map(RawValue::get);
    if kind != Some("\"function\"") {
        return Err(Problem {
            code: MalformedCode::BadValue,
            message: "expected `type` to be \"function\"".to_owned(),
        });
    }
    let Some(function) = members.take("function") else {
        return Err(Problem {
            code: MalformedCode::BadValue,
            message: "expected `function`, but there is none".to_owned(),
        });
    };
    objects::nothing_else(&members, "type and function")?;
    let mut members = objects::object(function).map_err(|problem| problem.at("`function`"))?;
    let text = |members: &mut Members<'_>, name: &str| {
        let text = members
            .take(name)
            .map(|value| Input::Json(value).text("text"));
        text.transpose()
            .map_err(|problem| problem.at(format_args!("`{name}`")))
    };
    let name = text(&mut members, "name")?.filter(|name| is_plain(name, 64, "_-"));
    let name = name.ok_or_else(|| Problem {
        code: MalformedCode::BadValue,
        message: "expected `name` to be text of 1 to 64 characters of [A-Za-z0-9_-]".to_owned(),
    })?;
    let description = text(&mut members, "description")?;
    let parameters = members.take("parameters").map(|value| {
        let schema = Input::Json(value).of_kind(Kind::Object, "a JSON schema, an object")?;
        decoded(schema)
    });
    let parameters = parameters
        .transpose()
        .map_err(|problem| problem.at("`parameters`"))?;
    let strict = members
        .take("strict")
        .map(|value| fields::boolean(Input::Json(value)));
    let strict = strict
        .transpose()
        .map_err(|problem| problem.at("`strict`"))?;
    objects::nothing_else(&members, "name, description, parameters and strict")?;
    Ok(Tool {
        name,
        description,
        parameters,
        strict,
    })
}
