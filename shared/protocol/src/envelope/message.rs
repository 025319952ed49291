//! Readers of the messages of a conversation.

use serde_json::value::RawValue;

use super::{
    fields::{Input, Problem, Read, decoded},
    json::{Kind, Members},
    malformed::{MalformedCode, shortened},
    objects::{nothing_else, object},
};
use crate::call::{ChatMessage, Content, ImageSource, InlineData, Part, Role, ToolCall, is_base64};

/// The conversation.
pub(crate) fn messages(input: Input<'_>) -> Read<Vec<ChatMessage>> {
    const EXPECTED: &str = "a list of objects, each with a `role` and a `content`";
    let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
    if list.is_empty() {
        return Err(input.is_not(MalformedCode::NoPrompt, "at least one message"));
    }
    let mut messages: Vec<ChatMessage> = Vec::with_capacity(list.len());
    for (index, json) in list.into_iter().enumerate() {
        let read = turn(json).and_then(|message| check_result(message, &messages));
        messages.push(read.map_err(|problem| problem.at(format_args!("message {}", index + 1)))?);
    }
    Ok(messages)
}

/// Checks that the result of a tool belongs to an earlier call.
fn check_result(message: ChatMessage, earlier: &[ChatMessage]) -> Read<ChatMessage> {
    let Some(id) = &message.tool_call_id else {
        return Ok(message);
    };
    let mut calls = earlier.iter().flat_map(|message| &message.tool_calls);
    if calls.any(|call| call.id == *id) {
        return Ok(message);
    }
    Err(bad(format!(
        "expected `tool_call_id` to be the id of an earlier call, but got \"{}\"",
        shortened(id)
    )))
}

fn turn(json: &RawValue) -> Read<ChatMessage> {
    let mut members = object(json)?;
    let role = member_text(&mut members, "role")?;
    let role = Role::from_name(&role).ok_or_else(|| {
        let role = shortened(&role);
        bad(format!(
            "expected `role` to be system, user, assistant or tool, but got \"{role}\""
        ))
    })?;
    let tool_calls = match role {
        Role::Assistant => tool_calls(&mut members)?,
        Role::System | Role::User | Role::Tool => Vec::new(),
    };
    let tool_call_id = match role {
        Role::Tool => Some(member_text(&mut members, "tool_call_id")?),
        Role::System | Role::User | Role::Assistant => None,
    };
    let content = if tool_calls.is_empty() {
        content(&mut members, role)?
    } else {
        let given = members.by_name.get("content");
        if given.is_some_and(|value| Kind::detect(value) != Kind::Null) {
            content(&mut members, role)?
        } else {
            members.by_name.remove("content");
            Content::Text(String::new())
        }
    };
    let extra = members
        .by_name
        .into_iter()
        .map(|(name, value)| Ok((name.into_owned(), decoded(value.get())?)))
        .collect::<Read<_>>()?;
    Ok(ChatMessage {
        role,
        content,
        tool_calls,
        tool_call_id,
        extra,
    })
}

/// The calls of tools. An empty list is left among the other members, as it came.
fn tool_calls(members: &mut Members<'_>) -> Read<Vec<ToolCall>> {
    const EXPECTED: &str = "`tool_calls` to be a list of \
         {\"id\": …, \"type\": \"function\", \"function\": {\"name\": …, \"arguments\": \"…\"}}";
    let given = members.by_name.get("tool_calls").copied();
    let Some(json) = given.filter(|json| !matches!(json.get(), "null" | "[]")) else {
        return Ok(Vec::new());
    };
    members.by_name.remove("tool_calls");
    serde_json::from_str(json.get()).map_err(|error| bad(format!("expected {EXPECTED}: {error}")))
}

fn content(members: &mut Members<'_>, role: Role) -> Read<Content> {
    let is_list = |value: &&&RawValue| Kind::detect(value) == Kind::List;
    let Some(json) = members.by_name.get("content").filter(is_list).copied() else {
        return member_text(members, "content").map(Content::Text);
    };
    members.by_name.remove("content");
    let parts: Vec<&RawValue> = decoded(json.get())?;
    if parts.is_empty() {
        return Err(bad(
            "expected `content` to have at least one part".to_owned()
        ));
    }
    let parts = parts.into_iter().enumerate().map(|(index, json)| {
        let part = part(json).and_then(|part| match part {
            Part::Text(_) => Ok(part),
            _ if role == Role::User => Ok(part),
            _ => Err(bad(format!(
                "expected only text in a message of the role {role}"
            ))),
        });
        part.map_err(|problem| problem.at(format_args!("part {}", index + 1)))
    });
    Ok(Content::Parts(parts.collect::<Read<_>>()?))
}

fn part(json: &RawValue) -> Read<Part> {
    let mut members = object(json)?;
    let kind = member_text(&mut members, "type")?;
    let part = match kind.as_str() {
        "text" => Part::Text(member_text(&mut members, "text")?),
        "image_url" => image(inner(&mut members, "image_url")?)?,
        "file" => file(inner(&mut members, "file")?)?,
        "input_audio" => audio(inner(&mut members, "input_audio")?)?,
        _ => {
            let kind = shortened(&kind);
            return Err(bad(format!(
                "expected `type` to be text, image_url, file or input_audio, but got \"{kind}\""
            )));
        }
    };
    nothing_else(&members, &format!("type and {kind}"))?;
    Ok(part)
}

fn inner<'a>(members: &mut Members<'a>, name: &str) -> Read<Members<'a>> {
    let json = members.take(name).ok_or_else(|| none(name))?;
    object(json).map_err(|problem| problem.at(format_args!("`{name}`")))
}

fn image(mut members: Members<'_>) -> Read<Part> {
    let url = member_text(&mut members, "url")?;
    let source = if url.starts_with("data:") {
        ImageSource::Inline(inline(&url, "url", "image/")?)
    } else if is_web_address(&url) {
        ImageSource::Url(url)
    } else {
        return Err(bad(
            "expected `url` to begin with https://, http:// or data:".to_owned(),
        ));
    };
    let detail = optional_text(&mut members, "detail")?;
    if let Some(detail) = &detail
        && !matches!(detail.as_str(), "auto" | "low" | "high")
    {
        let detail = shortened(detail);
        return Err(bad(format!(
            "expected `detail` to be auto, low or high, but got \"{detail}\""
        )));
    }
    nothing_else(&members, "url and detail")?;
    Ok(Part::Image { source, detail })
}

fn is_web_address(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty())
        && !url.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn file(mut members: Members<'_>) -> Read<Part> {
    if members.by_name.get("file_id").is_some() {
        return Err(bad(
            "`file_id` names a file in the platform's account, which a job may not choose: send `file_data`".to_owned(),
        ));
    }
    let url = member_text(&mut members, "file_data")?;
    let data = inline(&url, "file_data", "")?;
    let filename = optional_text(&mut members, "filename")?;
    nothing_else(&members, "file_data and filename")?;
    Ok(Part::File { data, filename })
}

fn audio(mut members: Members<'_>) -> Read<Part> {
    let base64 = member_text(&mut members, "data")?;
    let format = member_text(&mut members, "format")?;
    nothing_else(&members, "data and format")?;
    if !matches!(format.as_str(), "wav" | "mp3") {
        let format = shortened(&format);
        return Err(bad(format!(
            "expected `format` to be wav or mp3, but got \"{format}\""
        )));
    }
    if !is_base64(&base64) {
        return Err(bad("expected `data` to be base64".to_owned()));
    }
    Ok(Part::Audio { format, base64 })
}

fn inline(url: &str, name: &str, of: &str) -> Read<InlineData> {
    InlineData::parse(url)
        .filter(|data| data.media_type.starts_with(of))
        .ok_or_else(|| {
            bad(format!(
                "expected `{name}` to be data:{of}…;base64, and the data in base64"
            ))
        })
}

/// A text member of a message. Errors do not quote it: it may be long and private.
fn member_text(members: &mut Members<'_>, name: &str) -> Read<String> {
    let value = members.by_name.remove(name).ok_or_else(|| none(name))?;
    match Kind::detect(value) {
        Kind::Text => decoded(value.get()),
        kind => Err(Problem {
            code: MalformedCode::WrongType,
            message: format!("expected `{name}` to be text, but got {}", kind.name()),
        }),
    }
}

fn optional_text(members: &mut Members<'_>, name: &str) -> Read<Option<String>> {
    match members.by_name.get(name).map(|value| Kind::detect(value)) {
        None => Ok(None),
        Some(Kind::Null) => Ok(members.by_name.remove(name).and(None)),
        Some(_) => member_text(members, name).map(Some),
    }
}

fn none(name: &str) -> Problem {
    bad(format!("expected `{name}`, but there is none"))
}

fn bad(message: String) -> Problem {
    Problem {
        code: MalformedCode::BadValue,
        message,
    }
}
