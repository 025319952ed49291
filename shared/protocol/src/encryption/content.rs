//! Which parts of stored facts are content: texts of producers, models and providers. Everything else is stored plain.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    keyring::Keyring,
    value::{CannotEncrypt, KeyId, replace_values},
};
use crate::{
    call::ToolCall,
    chain::{Check, Extracted, Merge, StepRef, Validate, Validation, template::RecipeInputs},
    checkpoint::Checkpoint,
    dead_letter::{DeadLetter, StoredMessage},
    event::{AttemptRecord, DeadLetterRecord, Event, JobRecord},
    outcome::{ChainOutcome, Merged, Outcome, StepOutput},
    review::{Decision, Review, ReviewAlert, ReviewRecord},
    tool_rounds::{ToolRounds, ToolsOutcome},
};

/// The only member of encrypted metadata, which so stays an object.
const OBJECT_MEMBER: &str = "enc";

const OUTPUT: &str = "output";
const ERROR: &str = "error";
const METADATA: &str = "metadata";
const PROMPT_HEAD: &str = "prompt_head";
const ARGUMENTS: &str = "arguments";
const EXTRA: &str = "extra_content";
const LOGPROBS: &str = "logprobs";
const EXPRESSION: &str = "expression";
const ITEM: &str = "item";
const RUBRIC: &str = "rubric";
const SCHEMA: &str = "schema";
const EXPLANATION: &str = "explanation";
const BYTES: &str = "bytes";
const JOB: &str = "job";
const PARAMETERS: &str = "parameters";
const QUESTION: &str = "question";
const ARTEFACT: &str = "artefact";
const COMMENT: &str = "comment";
const RESULT: &str = "result";

/// Reasons and classes whose texts Longshore writes itself, of ids, numbers and times only. Those of all others may quote
/// a prompt or an answer.
const PLAIN_REASONS: &[&str] = &[
    "budget_exceeded",
    "cancelled",
    "cannot_decrypt",
    "duplicate",
    "expired",
    "id_conflict",
    "poison",
    "result_expired",
    "too_large",
];

/// A fact with content.
pub trait Content: Clone {
    /// Shows each part of the content to the visitor, which may change it.
    fn visit(&mut self, visitor: &mut impl Visitor);
}

/// What is done with the content of a fact.
pub trait Visitor {
    fn text(&mut self, purpose: &str, text: &mut String);
    fn value(&mut self, purpose: &str, value: &mut Value);
    fn object(&mut self, purpose: &str, object: &mut Map<String, Value>);

    /// A text that there may be.
    fn optional(&mut self, purpose: &str, text: &mut Option<String>) {
        if let Some(text) = text {
            self.text(purpose, text);
        }
    }
}

/// Encrypts content.
pub(super) struct Sealer<'k> {
    keyring: &'k Keyring,
    failed: Option<CannotEncrypt>,
}

impl<'k> Sealer<'k> {
    pub(super) fn new(keyring: &'k Keyring) -> Self {
        Self {
            keyring,
            failed: None,
        }
    }

    pub(super) fn finish(self) -> Result<(), CannotEncrypt> {
        self.failed.map_or(Ok(()), Err)
    }

    fn seal(&mut self, purpose: &str, plain: &str) -> Option<String> {
        let sealed = self.keyring.seal(purpose, plain.as_bytes());
        sealed
            .inspect_err(|failed| self.failed = Some(*failed))
            .ok()
            .flatten()
    }
}

impl Visitor for Sealer<'_> {
    fn text(&mut self, purpose: &str, text: &mut String) {
        if let Some(sealed) = self.seal(purpose, text) {
            *text = sealed;
        }
    }

    fn value(&mut self, purpose: &str, value: &mut Value) {
        if let Some(sealed) = self.seal(purpose, &value.to_string()) {
            *value = Value::String(sealed);
        }
    }

    fn object(&mut self, purpose: &str, object: &mut Map<String, Value>) {
        if sealed_object(object).is_some() {
            return;
        }
        let plain = Value::Object(std::mem::take(object)).to_string();
        if let Some(sealed) = self.seal(purpose, &plain) {
            object.insert(OBJECT_MEMBER.to_owned(), Value::String(sealed));
        }
    }
}

/// Decrypts content as far as the keys allow.
pub(super) struct Opener<'k>(&'k Keyring);

impl<'k> Opener<'k> {
    pub(super) fn new(keyring: &'k Keyring) -> Self {
        Self(keyring)
    }

    fn open(&self, purpose: &str, value: &str) -> Option<String> {
        let plain = self.0.open(purpose, value).ok()??;
        String::from_utf8(plain).ok()
    }
}

impl Visitor for Opener<'_> {
    fn text(&mut self, purpose: &str, text: &mut String) {
        let opened = if purpose == ERROR {
            // The error of a chain quotes that of a step.
            replace_values(text, |value| self.open(purpose, value)).into_owned()
        } else {
            match self.open(purpose, text) {
                Some(opened) => opened,
                None => return,
            }
        };
        *text = opened;
    }

    fn value(&mut self, purpose: &str, value: &mut Value) {
        let opened = value.as_str().and_then(|text| self.open(purpose, text));
        if let Some(opened) = opened.and_then(|json| serde_json::from_str(&json).ok()) {
            *value = opened;
        }
    }

    fn object(&mut self, purpose: &str, object: &mut Map<String, Value>) {
        let opened = sealed_object(object).and_then(|text| self.open(purpose, text));
        if let Some(opened) = opened.and_then(|json| serde_json::from_str(&json).ok()) {
            *object = opened;
        }
    }
}

/// Looks for content that a job would pass on, and that is still encrypted.
struct Finder(Option<KeyId>);

impl Finder {
    fn look_at(&mut self, purpose: &str, text: &str) {
        if self.0.is_none() && purpose != ERROR {
            self.0 = super::key_of(text);
        }
    }
}

impl Visitor for Finder {
    fn text(&mut self, purpose: &str, text: &mut String) {
        self.look_at(purpose, text);
    }

    fn value(&mut self, purpose: &str, value: &mut Value) {
        if let Some(text) = value.as_str() {
            self.look_at(purpose, text);
        }
    }

    fn object(&mut self, purpose: &str, object: &mut Map<String, Value>) {
        if let Some(text) = sealed_object(object) {
            self.look_at(purpose, text);
        }
    }
}

/// The key of content that could not be decrypted when it was read; errors do not count.
pub fn unopened_key(content: &mut impl Content) -> Option<KeyId> {
    let mut finder = Finder(None);
    content.visit(&mut finder);
    finder.0
}

impl Keyring {
    /// The text of an error, decrypted as far as the keys allow.
    #[must_use]
    pub fn opened_error(&self, mut error: String) -> String {
        Opener::new(self).text(ERROR, &mut error);
        error
    }
}

/// The encrypted value of an object, if it holds nothing else.
fn sealed_object(object: &Map<String, Value>) -> Option<&str> {
    let value = object.get(OBJECT_MEMBER)?.as_str()?;
    (object.len() == 1 && super::key_of(value).is_some()).then_some(value)
}

impl Content for Event {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        if let Some(job) = &mut self.job {
            job.visit(visitor);
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.visit(visitor);
        }
        if let Some(dead) = &mut self.dead {
            dead.visit(visitor);
        }
        if let Some(review) = &mut self.review {
            review.visit(visitor);
        }
    }
}

impl Content for JobRecord {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.text(PROMPT_HEAD, &mut self.prompt_head);
        visitor.optional(OUTPUT, &mut self.output);
        visit_tool_calls(&mut self.tool_calls, visitor);
        visit_error(self.error_class.as_deref(), self.error.as_mut(), visitor);
        if let Some(tools) = &mut self.tools {
            tools.visit(visitor);
        }
        if let Some(metadata) = &mut self.metadata {
            visitor.object(METADATA, metadata);
        }
    }
}

impl Content for Review {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.text(QUESTION, &mut self.question);
        visitor.optional(ARTEFACT, &mut self.artefact);
    }
}

impl Content for ReviewRecord {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        self.review.visit(visitor);
        visitor.optional(COMMENT, &mut self.comment);
    }
}

impl Content for ReviewAlert {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.text(QUESTION, &mut self.question);
    }
}

impl Content for Decision {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.optional(COMMENT, &mut self.comment);
        visitor.optional(ARTEFACT, &mut self.text);
    }
}

impl Content for AttemptRecord {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.optional(ERROR, &mut self.error);
    }
}

impl Content for DeadLetterRecord {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visit_error(Some(&self.reason), Some(&mut self.error), visitor);
    }
}

impl Content for DeadLetter {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        self.record.visit(visitor);
        self.message.visit(visitor);
        self.checkpoint.visit(visitor);
    }
}

/// The metadata of a chain.
#[derive(Debug, Clone, Serialize)]
pub struct Metadata(pub Map<String, Value>);

impl Content for Metadata {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.object(METADATA, &mut self.0);
    }
}

impl Content for RecipeInputs {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.object(JOB, &mut self.job);
        visitor.object(PARAMETERS, &mut self.parameters);
    }
}

/// Each value of a message; of one that is not stored as text, the base64.
impl Content for StoredMessage {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        match self {
            Self::Text(fields) => {
                for (name, value) in fields {
                    visitor.text(name, value);
                }
            }
            Self::Base64(fields) | Self::Head { head: fields, .. } => {
                for (_, value) in fields {
                    visitor.text(BYTES, value);
                }
            }
        }
    }
}

impl Content for Checkpoint {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.optional(ERROR, &mut self.fault);
        for past in &mut self.history {
            visitor.text(ERROR, &mut past.error);
        }
        if let Some(step) = &mut self.step {
            step.visit(visitor);
        }
        if let Some(tools) = &mut self.tools {
            tools.visit(visitor);
        }
    }
}

impl Content for ToolRounds {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        for round in &mut self.conversation {
            visitor.text(OUTPUT, &mut round.output);
            visit_tool_calls(&mut round.calls, visitor);
            for result in &mut round.results {
                visitor.text(RESULT, result);
            }
        }
        self.outcome.visit(visitor);
    }
}

impl Content for ToolsOutcome {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        for call in &mut self.calls {
            visitor.text(ARGUMENTS, &mut call.arguments);
            visitor.optional(ERROR, &mut call.error);
        }
    }
}

impl Content for StepRef {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.optional(EXPRESSION, &mut self.when);
        visitor.optional(EXPRESSION, &mut self.foreach);
        if let Some(item) = &mut self.item {
            visitor.value(ITEM, item);
        }
        if let Some(person) = &mut self.person {
            visitor.text(QUESTION, &mut person.question);
            visitor.optional(ARTEFACT, &mut person.artefact);
        }
        let text = self
            .merge
            .as_mut()
            .and_then(|merge| match &mut merge.merge {
                Merge::BestOf { rubric: text } | Merge::Synthesize { instructions: text } => {
                    text.as_mut()
                }
                Merge::First
                | Merge::Longest
                | Merge::Code
                | Merge::Vote { .. }
                | Merge::Verdicts => None,
            });
        if let Some(text) = text {
            visitor.text(RUBRIC, text);
        }
        if let Some(validate) = &mut self.validate {
            validate.visit(visitor);
        }
    }
}

impl Content for Validate {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.optional(RUBRIC, &mut self.rubric);
        for check in &mut self.checks {
            match check {
                Check::JsonSchema(schema) => visitor.value(SCHEMA, schema),
                Check::Matches(pattern) | Check::NotMatches(pattern) => {
                    visitor.text(EXPRESSION, pattern);
                }
                Check::MinLength(_) | Check::MaxLength(_) => {}
            }
        }
    }
}

impl Content for Validation {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        for reason in &mut self.reasons {
            visitor.text(EXPLANATION, reason);
        }
    }
}

impl Content for Extracted {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        match self {
            Self::Code(blocks) => {
                for block in blocks {
                    visitor.optional(OUTPUT, &mut block.file);
                    visitor.text(OUTPUT, &mut block.code);
                }
            }
            Self::Json(value) => visitor.value(OUTPUT, value),
            Self::Diff(diff) => visitor.text(OUTPUT, diff),
        }
    }
}

impl Content for Merged {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.text(EXPLANATION, &mut self.explanation);
        for answer in &mut self.answers {
            visitor.optional(OUTPUT, &mut answer.output);
            visit_error(
                answer.error_class.as_deref(),
                answer.error.as_mut(),
                visitor,
            );
        }
    }
}

impl Content for Outcome {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.optional(OUTPUT, &mut self.output);
        visit_tool_calls(&mut self.tool_calls, visitor);
        if let Some(logprobs) = &mut self.logprobs {
            visitor.value(LOGPROBS, logprobs);
        }
        visit_error(self.error_class.as_deref(), self.error.as_mut(), visitor);
        if let Some(merged) = &mut self.merged {
            merged.visit(visitor);
        }
        if let Some(validation) = &mut self.validation {
            validation.visit(visitor);
        }
        if let Some(extracted) = &mut self.extracted {
            extracted.visit(visitor);
        }
        if let Some(review) = &mut self.review {
            visitor.optional(COMMENT, &mut review.comment);
        }
        if let Some(tools) = &mut self.tools {
            tools.visit(visitor);
        }
        if let Some(metadata) = &mut self.metadata {
            visitor.object(METADATA, metadata);
        }
    }
}

/// Scripts write it, of outcomes whose content is encrypted.
impl Content for ChainOutcome {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.optional(OUTPUT, &mut self.output);
        for output in self.outputs.values_mut() {
            match output {
                StepOutput::One(answer) => visitor.optional(OUTPUT, answer),
                StepOutput::Items(answers) => {
                    for answer in answers {
                        visitor.optional(OUTPUT, answer);
                    }
                }
            }
        }
        visitor.optional(ERROR, &mut self.error);
        for failed in &mut self.errors {
            visitor.optional(ERROR, &mut failed.error);
        }
        if let Some(metadata) = &mut self.metadata {
            visitor.object(METADATA, metadata);
        }
    }
}

fn visit_tool_calls(calls: &mut [ToolCall], visitor: &mut impl Visitor) {
    for call in calls {
        visitor.text(ARGUMENTS, &mut call.function.arguments);
        // The thoughts that led to the call, for one.
        for value in call.extra.values_mut() {
            visitor.value(EXTRA, value);
        }
    }
}

fn visit_error(reason: Option<&str>, error: Option<&mut String>, visitor: &mut impl Visitor) {
    let is_plain = reason.is_some_and(|reason| PLAIN_REASONS.contains(&reason));
    if let Some(error) = error.filter(|_| !is_plain) {
        visitor.text(ERROR, error);
    }
}
