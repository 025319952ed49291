//! Parses a message into an envelope: its form, its version, then field by field.

use std::{borrow::Cow, num::NonZeroU32, time::Duration};

use super::{
    Concurrency, DEFAULT_TIMEOUT, DEFAULT_TYPE, Envelope, MAX_FIELDS, NotBefore, PROTOCOL_VERSION,
    RoutingInputs, Unique,
    by_name::ByName,
    fields::{self, Fields, Input},
    hash::ContentHash,
    json::{Kind, Members, Shape},
    malformed::{AllMalformed, Malformed, MalformedCode, shortened},
    message, objects, params, recipe, times,
};
use crate::{
    call::{ChatMessage, Role},
    reply::ReplyTo,
};

/// How long a unique key is reserved if the producer sets no time.
const DEFAULT_UNIQUE_FOR: Duration = Duration::from_hours(1);

/// The fields that a job can have.
pub const FIELDS: &[&str] = &[
    "v",
    "id",
    "type",
    "prompt",
    "messages",
    "system",
    "platform",
    "model",
    "risk",
    "area",
    "complexity",
    "max_tokens",
    "temperature",
    "response_format",
    "top_p",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "provider_options",
    "delay",
    "run_at",
    "start_by",
    "deadline",
    "timeout",
    "retry",
    "fallback",
    "max_cost_usd",
    "unique_key",
    "unique_for",
    "concurrency_key",
    "concurrency_limit",
    "chain_id",
    "parent_id",
    "tenant",
    "metadata",
    "reply",
    "keep_result",
    "spawn",
    "traceparent",
    "recipe",
    "parameters",
    "repeat",
];

/// The highest possible depth limit: `serde_json` stops at 128.
pub(crate) const DEEPEST: usize = 120;

/// The fields of a stream entry, as received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Names and values in the order in which they were sent.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Message {
    /// The bytes of all names and values.
    pub fn size(&self) -> usize {
        self.fields
            .iter()
            .map(|(name, value)| name.len().saturating_add(value.len()))
            .fold(0, usize::saturating_add)
    }
}

/// How large and how deep a message may be. A message over a limit becomes a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// The most bytes of all names and values together.
    pub max_bytes: usize,
    /// The most bytes of a message that is a chain.
    pub max_chain_bytes: usize,
    /// The maximum nesting of lists and objects, the message itself included; at most 120.
    pub max_depth: usize,
    /// The most answers of one step that may call tools of the worker.
    pub max_tool_rounds: u32,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024,
            max_chain_bytes: 16 * 1024 * 1024,
            max_depth: 64,
            max_tool_rounds: 30,
        }
    }
}

/// A valid message.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub envelope: Envelope,
    /// The content hash, if the producer set an id: two messages with one id are the same job only if
    /// their hashes are equal.
    pub hash: Option<ContentHash>,
    /// The names of fields that this version does not know, in alphabetical order.
    pub unknown: Vec<String>,
}

/// Parses a message. Any bytes give either an envelope or an error that explains what is wrong.
pub fn parse(message: &Message, limits: &MessageLimits) -> Result<Parsed, Malformed> {
    parse_all(message, limits).map_err(|malformed| malformed.first)
}

/// As [`parse`], with the errors of all fields.
pub fn parse_all(message: &Message, limits: &MessageLimits) -> Result<Parsed, AllMalformed> {
    let (mut fields, wrong) = fields_of(message, limits)?;
    let envelope = envelope(&mut fields, wrong)?;
    let hash = envelope
        .id
        .is_some()
        .then(|| ContentHash::from_envelope(&envelope, &fields));
    let unknown = fields.0.iter().map(|(name, _)| shortened(name)).collect();
    Ok(Parsed {
        envelope,
        hash,
        unknown,
    })
}

/// The fields of a message, and what is wrong with their names.
fn fields_of<'a>(
    message: &'a Message,
    limits: &MessageLimits,
) -> Result<(Fields<'a>, Vec<Malformed>), Malformed> {
    check_size(message, limits.max_bytes)?;
    let max_depth = limits.max_depth.min(DEEPEST);
    let job = message.fields.iter().find(|(name, _)| name == b"job");
    match job {
        Some((_, job)) if message.fields.len() == 1 => json_form(job, max_depth),
        Some((_, job)) => Err(both_forms(message, job, max_depth)),
        None => flat_form(message, max_depth).map(|fields| (fields, Vec::new())),
    }
}

/// Where a message, which may be invalid, asks for a reply. `None` if its JSON cannot be parsed, or exceeds the limit of
/// a chain.
pub fn reply_to(message: &Message, limits: &MessageLimits) -> Option<ReplyTo> {
    let value_of = |wanted: &str| {
        let mut fields = message.fields.iter();
        let found = fields.find(|(name, _)| name == wanted.as_bytes());
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    };
    let read = |input| fields::reply(input).ok().flatten();
    if let Some(value) = value_of("reply") {
        return read(Input::Text(value));
    }
    let document = value_of("job").or_else(|| value_of("chain"))?;
    if document.len() > limits.max_chain_bytes {
        return None;
    }
    let members: Members<'_> = serde_json::from_str(document).ok()?;
    read(Input::Json(members.by_name.get("reply")?))
}

/// Rejects a message of more than `most` bytes or [`MAX_FIELDS`] fields.
pub(super) fn check_size(message: &Message, most: usize) -> Result<(), Malformed> {
    let count = message.fields.len();
    if count > MAX_FIELDS {
        return Err(Malformed::whole(
            MalformedCode::TooLarge,
            format!(
                "the message has {count} fields; at most {MAX_FIELDS} are allowed; use the JSON form, in the one \
                 field `job`"
            ),
        ));
    }
    let size = message.size();
    if size > most {
        return Err(Malformed::whole(
            MalformedCode::TooLarge,
            format!("expected a message of at most {most} bytes, but got {size}"),
        ));
    }
    Ok(())
}

/// The value of the field `name` as text.
pub(super) fn utf8<'a>(value: &'a [u8], name: &str) -> Result<&'a str, Malformed> {
    std::str::from_utf8(value)
        .map_err(|error| Malformed::new(MalformedCode::NotUtf8, name, not_utf8(&error)))
}

fn json_form(job: &[u8], max_depth: usize) -> Result<(Fields<'_>, Vec<Malformed>), Malformed> {
    members_of(utf8(job, "job")?, "job", max_depth)
}

/// The members of the object in the field `name`, and what is wrong with their names. A newer version is rejected
/// before anything else is checked.
pub(crate) fn members_of<'a>(
    text: &'a str,
    name: &str,
    max_depth: usize,
) -> Result<(Fields<'a>, Vec<Malformed>), Malformed> {
    check_depth(text, max_depth)
        .map_err(|words| Malformed::whole(MalformedCode::TooDeep, words))?;
    let members: Members<'_> =
        serde_json::from_str(text).map_err(|error| no_members(text, name, error))?;
    if let Some(version) = members.by_name.get("v") {
        check_version(Input::Json(version))?;
    }
    let names = members.by_name.iter().map(|(name, _)| name);
    let mut wrong: Vec<Malformed> = names.filter_map(|name| check_name(name).err()).collect();
    wrong.extend(members.repeated.map(|name| repeated(&name)));
    Ok((Fields(members.by_name.map(Input::Json)), wrong))
}

/// Explains why a text has no members. The kind of the value is determined only in this case.
fn no_members(text: &str, name: &str, error: serde_json::Error) -> Malformed {
    let expected = format!("expected `{name}` to be a JSON object, but");
    let error = match serde_json::from_str(text).map(Kind::detect) {
        Ok(Kind::Object) => error,
        Ok(kind) => {
            let words = format!("{expected} got {}", kind.name());
            return Malformed::whole(MalformedCode::NotAnObject, words);
        }
        Err(error) => error,
    };
    let words = format!("{expected} it is not JSON: {error}");
    Malformed::whole(MalformedCode::NotJson, words)
}

fn flat_form(message: &Message, max_depth: usize) -> Result<Fields<'_>, Malformed> {
    check_flat_versions(message)?;
    let mut given = Vec::with_capacity(message.fields.len());
    for (name, value) in &message.fields {
        let name = std::str::from_utf8(name).map_err(|error| {
            let name = String::from_utf8_lossy(name);
            Malformed::new(MalformedCode::NotUtf8, &name, not_utf8(&error))
        })?;
        check_name(name)?;
        let value = utf8(value, name)?;
        if matches!(
            name,
            "messages" | "response_format" | "metadata" | "retry" | "parameters" | "repeat"
        ) || params::STRUCTURED.contains(&name)
        {
            // One level less than in `job`, whose own braces count as a level.
            check_depth(value, max_depth.saturating_sub(1))
                .map_err(|words| Malformed::new(MalformedCode::TooDeep, name, words))?;
        }
        given.push((Cow::Borrowed(name), Input::Text(value)));
    }
    match ByName::from_pairs(given) {
        (fields, None) => Ok(Fields(fields)),
        (_, Some(name)) => Err(repeated(&name)),
    }
}

/// The error of a message with `job` and other fields. A newer version is reported first, because it
/// may allow this form.
fn both_forms(message: &Message, job: &[u8], max_depth: usize) -> Malformed {
    let newer = [
        check_flat_versions(message),
        json_form(job, max_depth).map(|_| ()),
    ]
    .into_iter()
    .filter_map(Result::err)
    .find(|error| error.code == MalformedCode::UnsupportedVersion);
    if let Some(newer) = newer {
        return newer;
    }
    let others: Vec<_> = message
        .fields
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name))
        .filter(|name| name != "job")
        .collect();
    match others.first() {
        None => repeated("job"),
        Some(other) => check_name(other).err().unwrap_or_else(|| {
            Malformed::whole(
                MalformedCode::BothForms,
                format!(
                    "expected either `job` alone or flat fields, but got `job` and `{}`",
                    shortened(other)
                ),
            )
        }),
    }
}

/// Rejects a newer version, whose other fields cannot be checked.
fn check_version(version: Input<'_>) -> Result<(), Malformed> {
    match fields::field("v", Some(version), fields::version) {
        Ok(Some(version)) if version > PROTOCOL_VERSION => Err(Malformed {
            version: Some(version),
            ..Malformed::new(
                MalformedCode::UnsupportedVersion,
                "v",
                format!("expected version {PROTOCOL_VERSION} of the protocol, but got {version}"),
            )
        }),
        Ok(_) => Ok(()),
        Err(wrong) => Err(wrong),
    }
}

pub(super) fn check_flat_versions(message: &Message) -> Result<(), Malformed> {
    message
        .fields
        .iter()
        .filter(|(name, _)| name == b"v")
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .try_for_each(|version| check_version(Input::Text(version)))
}

fn check_name(name: &str) -> Result<(), Malformed> {
    if name.starts_with('_') {
        Err(Malformed::new(
            MalformedCode::ReservedField,
            name,
            "names that begin with `_` are reserved for the server",
        ))
    } else if name == "chain" {
        Err(Malformed::new(
            MalformedCode::Unsupported,
            name,
            "a chain is a message of its own: expected `chain` as the only field of the entry",
        ))
    } else {
        Ok(())
    }
}

fn check_depth(text: &str, max_depth: usize) -> Result<(), String> {
    let depth = Shape::measure(text).depth;
    if depth > max_depth {
        Err(format!(
            "expected lists and objects nested at most {max_depth} deep, but got {depth}"
        ))
    } else {
        Ok(())
    }
}

fn not_utf8(error: &std::str::Utf8Error) -> String {
    format!(
        "expected UTF-8, but got another byte at {}",
        error.valid_up_to()
    )
}

fn repeated(name: &str) -> Malformed {
    Malformed::new(
        MalformedCode::DuplicateField,
        name,
        "expected it once, but got it more often",
    )
}

/// The fields of a message, read one after the other. An error in one of them hides no other.
pub(super) struct Reading<'f, 'a> {
    fields: &'f mut Fields<'a>,
    wrong: Vec<Malformed>,
}

impl<'a> Reading<'_, 'a> {
    /// Removes a field and reads it. `None`: it is absent or wrong.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Input<'a>) -> fields::Read<T>,
    ) -> Option<T> {
        self.fields.take(name, read).unwrap_or_else(|wrong| {
            self.wrong.push(wrong);
            None
        })
    }

    /// Whether this field was read, and is wrong.
    pub(super) fn is_wrong(&self, name: &str) -> bool {
        let named = |wrong: &Malformed| wrong.field.as_deref().is_none_or(|field| field == name);
        self.wrong.iter().any(named)
    }

    /// Reports that a field is in conflict with others, or lacks one.
    pub(super) fn add(&mut self, code: MalformedCode, field: &str, message: impl Into<String>) {
        self.wrong.push(Malformed::new(code, field, message));
    }

    /// Reports that `field` means nothing without `other`, which is absent.
    pub(super) fn lacks(&mut self, field: &str, other: &str) {
        let message = format!("expected `{other}` beside it, but there is none");
        self.add(MalformedCode::BadValue, field, message);
    }
}

/// Builds the envelope; the unknown fields remain in `fields`. `wrong` is what is wrong with their names.
fn envelope(fields: &mut Fields<'_>, wrong: Vec<Malformed>) -> Result<Envelope, AllMalformed> {
    let of_a_call = recipe::given_of_a_call(fields);
    let mut reading = Reading { fields, wrong };
    let r = &mut reading;
    r.take("v", fields::version);
    let envelope = Envelope {
        id: r.take("id", fields::id),
        task_type: r
            .take("type", fields::task_type)
            .unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
        messages: messages(r),
        system: r.take("system", fields::any_text),
        platform: r.take("platform", fields::name),
        model: r.take("model", fields::name),
        routing: RoutingInputs {
            risk: r.take("risk", fields::label),
            area: r.take("area", fields::label),
            complexity: r.take("complexity", fields::label),
        },
        params: params::params(r),
        not_before: not_before(r),
        start_by: r.take("start_by", times::limit),
        deadline: r.take("deadline", times::limit),
        timeout: r.take("timeout", times::timeout).unwrap_or(DEFAULT_TIMEOUT),
        retry: r.take("retry", objects::retry),
        fallback: r.take("fallback", fields::boolean).unwrap_or(true),
        max_cost: r.take("max_cost_usd", fields::max_cost),
        unique: unique(r),
        concurrency: concurrency(r),
        chain_id: r.take("chain_id", fields::name),
        parent_id: r.take("parent_id", fields::name),
        tenant: r.take("tenant", fields::name),
        metadata: r.take("metadata", objects::metadata),
        reply: r.take("reply", fields::reply).flatten(),
        keep_result: r.take("keep_result", fields::boolean).unwrap_or(false),
        spawn: r.take("spawn", fields::boolean).unwrap_or(false),
        traceparent: r.take("traceparent", fields::traceparent),
        recipe: recipe::recipe(r).map(Box::new),
    };
    recipe::refuse(&of_a_call, r);
    AllMalformed::none_of(reading.wrong).map(|()| envelope)
}

fn messages(r: &mut Reading<'_, '_>) -> Vec<ChatMessage> {
    let prompt = r.take("prompt", fields::prompt);
    let messages = r.take("messages", message::messages);
    match (prompt, messages) {
        (Some(prompt), None) => return vec![ChatMessage::new(Role::User, prompt)],
        (None, Some(messages)) => return messages,
        (Some(_), Some(_)) => r.add(
            MalformedCode::BadValue,
            "messages",
            "expected either `prompt` or `messages`, but got both",
        ),
        (None, None) if r.is_wrong("prompt") || r.is_wrong("messages") => {}
        (None, None) => {
            let message = no_prompt(r.fields);
            r.add(MalformedCode::NoPrompt, "prompt", message);
        }
    }
    Vec::new()
}

/// What a message without a prompt has instead.
fn no_prompt(fields: &Fields<'_>) -> String {
    let expected = ["prompt", "messages"];
    let misspelt = fields.0.iter().find_map(|(name, _)| {
        let meant = |meant: &&str| strsim::levenshtein(name, meant) <= 2;
        Some((name, expected.into_iter().find(meant)?))
    });
    match misspelt {
        Some((name, meant)) => {
            format!("expected `prompt`, or `messages`, but got `{name}`; did you mean `{meant}`?")
        }
        None => "expected `prompt`, or `messages`, but got neither".to_owned(),
    }
}

fn not_before(r: &mut Reading<'_, '_>) -> Option<NotBefore> {
    let delay = r.take("delay", times::delay);
    let run_at = r.take("run_at", times::moment);
    if delay.is_some() && run_at.is_some() {
        let message = "expected either `delay` or `run_at`, but got both";
        r.add(MalformedCode::BadValue, "run_at", message);
    }
    delay.map(NotBefore::Delay).or(run_at.map(NotBefore::At))
}

fn unique(r: &mut Reading<'_, '_>) -> Option<Unique> {
    let key = r.take("unique_key", fields::name);
    let ttl = r.take("unique_for", times::unique_for);
    if key.is_none() && ttl.is_some() && !r.is_wrong("unique_key") {
        r.lacks("unique_for", "unique_key");
    }
    key.map(|key| Unique {
        key,
        ttl: ttl.unwrap_or(DEFAULT_UNIQUE_FOR),
    })
}

fn concurrency(r: &mut Reading<'_, '_>) -> Option<Concurrency> {
    let key = r.take("concurrency_key", fields::name);
    let limit = r.take("concurrency_limit", |value| {
        fields::whole(value, 1..=100_000)
    });
    if key.is_none() && limit.is_some() && !r.is_wrong("concurrency_key") {
        r.lacks("concurrency_limit", "concurrency_key");
    }
    key.map(|key| Concurrency {
        key,
        limit: limit.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
    })
}
