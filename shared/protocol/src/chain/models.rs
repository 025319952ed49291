//! Steps that ask several models at once, what is made of their answers, and steps that another model must do.

use std::{fmt, num::NonZeroU32};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    StepName,
    parse::{only_member, step_name, step_names},
};
use crate::envelope::{
    MalformedCode,
    fields::{self, Fields, Input, Problem, Read, decoded, is_line},
    json::{Kind, Members},
    shortened,
};

/// The most models that a step asks.
pub const MAX_MODELS: u32 = 16;

/// The longest name of a model, platform or category.
const LONGEST_NAME: usize = 128;

/// The longest rubric or instructions, in characters.
const LONGEST_TEXT: usize = 10_000;

/// The category that is found by the words of the prompt.
pub const AUTO_CATEGORY: &str = "auto";

/// Which models a step asks, all at once. Each is of another platform, unless the step names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Models {
    /// One of each platform that can answer.
    All,
    /// The first platforms of the step's route.
    Count(NonZeroU32),
    /// The platforms of a category of routing, or, for `auto`, of the one that the prompt belongs to.
    Category(String),
    /// Platforms and models by name.
    Named(Vec<String>),
}

impl Models {
    /// How many models it asks, if that does not depend on the configuration.
    pub fn known_count(&self) -> Option<u32> {
        match self {
            Self::Count(count) => Some(count.get()),
            Self::Named(names) => u32::try_from(names.len()).ok(),
            Self::All | Self::Category(_) => None,
        }
    }
}

impl fmt::Display for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every platform"),
            Self::Count(count) => write!(f, "{count} models"),
            Self::Category(name) => write!(f, "category {name}"),
            Self::Named(names) => f.write_str(&names.join(", ")),
        }
    }
}

impl fmt::Display for NotBy {
    /// `platform of a, b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<&str> = self.steps.iter().map(StepName::as_str).collect();
        write!(f, "{} of {}", self.part, steps.join(", "))
    }
}

/// A model of a platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelName {
    pub platform: String,
    pub model: String,
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.model)
    }
}

/// What is made of the answers of several models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// The first answer; the other calls are cancelled.
    First,
    /// The longest answer.
    Longest,
    /// The answer with the most code.
    Code,
    /// The answer that most models gave.
    Vote {
        /// Compares only this member of answers in JSON: names separated by dots.
        field: Option<String>,
    },
    /// The answer that a model finds best.
    BestOf {
        /// What makes an answer good.
        rubric: Option<String>,
    },
    /// One answer that a model makes of all.
    Synthesize {
        /// What is to be observed.
        instructions: Option<String>,
    },
    /// One verdict made of those of several validators. A step with `validate` and `models` has it.
    Verdicts,
}

string_enum! {
    /// A kind of merge.
    MergeKind {
        First = "first",
        Longest = "longest",
        Code = "code",
        Vote = "vote",
        BestOf = "best_of",
        Synthesize = "synthesize",
        Verdicts = "verdicts",
    }
}

impl Merge {
    pub fn kind(&self) -> MergeKind {
        match self {
            Self::First => MergeKind::First,
            Self::Longest => MergeKind::Longest,
            Self::Code => MergeKind::Code,
            Self::Vote { .. } => MergeKind::Vote,
            Self::BestOf { .. } => MergeKind::BestOf,
            Self::Synthesize { .. } => MergeKind::Synthesize,
            Self::Verdicts => MergeKind::Verdicts,
        }
    }

    /// Whether a model merges the answers.
    pub fn asks_a_model(&self) -> bool {
        matches!(self, Self::BestOf { .. } | Self::Synthesize { .. })
    }
}

/// The steps whose authors may not answer this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotBy {
    pub steps: Vec<StepName>,
    pub part: AuthorPart,
}

string_enum! {
    /// What of an author may not answer again.
    AuthorPart {
        /// Every model of its platform.
        Platform = "platform",
        /// Its model, on any platform.
        Model = "model",
    }
}

/// Reads the field `models`.
pub(super) fn models(input: Input<'_>) -> Read<Models> {
    const EXPECTED: &str =
        "all, a number, a list of names, {\"count\": 2} or {\"category\": \"backend\"}";
    let Input::Json(value) = input else {
        return Err(input.is_not(MalformedCode::WrongType, EXPECTED));
    };
    match Kind::detect(value) {
        Kind::Number => count(input),
        Kind::Text if input.text(EXPECTED)? == "all" => Ok(Models::All),
        Kind::List => named(value),
        Kind::Object => match only_member(value.get())? {
            Some((member, value)) if member == "count" => {
                count(Input::Json(value)).map_err(|wrong| wrong.at("`count`"))
            }
            Some((member, value)) if member == "category" => {
                name(Input::Json(value), "the name of a category")
                    .map(Models::Category)
                    .map_err(|wrong| wrong.at("`category`"))
            }
            _ => Err(input.is_not(MalformedCode::BadValue, EXPECTED)),
        },
        _ => Err(input.is_not(MalformedCode::BadValue, EXPECTED)),
    }
}

fn count(input: Input<'_>) -> Read<Models> {
    let count = fields::whole(input, 1..=MAX_MODELS)?;
    Ok(Models::Count(
        NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN),
    ))
}

fn named(value: &RawValue) -> Read<Models> {
    let list: Vec<&RawValue> = decoded(value.get())?;
    if list.is_empty() || u32::try_from(list.len()).is_ok_and(|count| count > MAX_MODELS) {
        return Err(Problem {
            code: MalformedCode::OutOfRange,
            message: format!("expected 1 to {MAX_MODELS} names, but got {}", list.len()),
        });
    }
    let mut names: Vec<String> = Vec::new();
    for value in list {
        let name = name(Input::Json(value), "the name of a platform or a model")?;
        if names.contains(&name) {
            return Err(Problem {
                code: MalformedCode::BadValue,
                message: format!("expected each name once, but got `{name}` more often"),
            });
        }
        names.push(name);
    }
    Ok(Models::Named(names))
}

fn name(input: Input<'_>, expected: &str) -> Read<String> {
    let text = input.text(expected)?;
    if is_line(&text, LONGEST_NAME) {
        Ok(text)
    } else {
        Err(input.is_not(MalformedCode::BadValue, expected))
    }
}

/// The field `merge`: what is made of the answers, and the fields of the job of the model that does it.
#[derive(Debug)]
pub(super) struct MergeField<'a> {
    pub(super) merge: Merge,
    pub(super) judge: Option<&'a RawValue>,
}

/// Reads the field `merge`.
pub(super) fn merge(input: Input<'_>) -> Read<MergeField<'_>> {
    const EXPECTED: &str =
        "first, longest, code, vote, best_of or synthesize, or an object with one of them as `by`";
    let Input::Json(value) = input else {
        return Err(input.is_not(MalformedCode::WrongType, EXPECTED));
    };
    match Kind::detect(value) {
        Kind::Text => {
            let merge = MergeTexts::default().of_kind(kind(input, EXPECTED)?)?;
            Ok(MergeField { merge, judge: None })
        }
        Kind::Object => {
            let members: Members<'_> = decoded(value.get())?;
            let mut members = Fields(members.by_name.map(Input::Json));
            let by = members.0.remove("by");
            let by = by.ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))?;
            let kind = kind(by, EXPECTED).map_err(|wrong| wrong.at("`by`"))?;
            merge_of(kind, members)
        }
        _ => Err(input.is_not(MalformedCode::WrongType, EXPECTED)),
    }
}

/// A merge of this kind from the other members of its object.
fn merge_of(kind: MergeKind, mut members: Fields<'_>) -> Read<MergeField<'_>> {
    let texts = MergeTexts {
        field: long_text(&mut members, "field")?,
        rubric: long_text(&mut members, "rubric")?,
        instructions: long_text(&mut members, "instructions")?,
    };
    let merge = texts.of_kind(kind)?;
    let judge = match members.0.remove("judge") {
        Some(Input::Json(value)) if merge.asks_a_model() => Some(value),
        Some(_) => return Err(not_of_kind("judge", kind)),
        None => None,
    };
    match members.0.iter().next() {
        None => Ok(MergeField { merge, judge }),
        Some((name, _)) => Err(Problem {
            code: MalformedCode::BadValue,
            message: format!(
                "expected `by`, `field`, `rubric`, `instructions` or `judge`, but got `{}`",
                shortened(name)
            ),
        }),
    }
}

/// The texts of a merge; each belongs to one kind.
#[derive(Default)]
struct MergeTexts {
    field: Option<String>,
    rubric: Option<String>,
    instructions: Option<String>,
}

impl MergeTexts {
    fn of_kind(mut self, kind: MergeKind) -> Read<Merge> {
        let merge = match kind {
            MergeKind::First => Merge::First,
            MergeKind::Longest => Merge::Longest,
            MergeKind::Code => Merge::Code,
            MergeKind::Vote => Merge::Vote {
                field: self.field.take(),
            },
            MergeKind::BestOf => Merge::BestOf {
                rubric: self.rubric.take(),
            },
            MergeKind::Synthesize => Merge::Synthesize {
                instructions: self.instructions.take(),
            },
            MergeKind::Verdicts => Merge::Verdicts,
        };
        let left_over = match self {
            Self { field: Some(_), .. } => "field",
            Self {
                rubric: Some(_), ..
            } => "rubric",
            Self {
                instructions: Some(_),
                ..
            } => "instructions",
            _ => return Ok(merge),
        };
        Err(not_of_kind(left_over, kind))
    }
}

fn not_of_kind(name: &str, kind: MergeKind) -> Problem {
    let of = match name {
        "field" => "vote",
        "rubric" => "best_of",
        "instructions" => "synthesize",
        _ => "best_of and synthesize",
    };
    Problem {
        code: MalformedCode::BadValue,
        message: format!("`{name}` belongs to {of}, but `by` is {kind}"),
    }
}

fn kind(input: Input<'_>, expected: &str) -> Read<MergeKind> {
    MergeKind::from_name(&input.text(expected)?)
        // Only `validate` makes verdicts.
        .filter(|kind| *kind != MergeKind::Verdicts)
        .ok_or_else(|| input.is_not(MalformedCode::BadValue, expected))
}

pub(super) fn long_text(members: &mut Fields<'_>, name: &str) -> Read<Option<String>> {
    let Some(input) = members.0.remove(name) else {
        return Ok(None);
    };
    let text = fields::prompt(input).map_err(|wrong| wrong.at(format!("`{name}`")))?;
    if text.chars().count() > LONGEST_TEXT {
        return Err(Problem {
            code: MalformedCode::TooLarge,
            message: format!("`{name}`: expected at most {LONGEST_TEXT} characters"),
        });
    }
    Ok(Some(text))
}

/// Reads the field `not_by`.
pub(super) fn not_by(input: Input<'_>) -> Read<NotBy> {
    const EXPECTED: &str =
        "the name of a step, a list of them, or one of both as {\"platform\": …} or {\"model\": …}";
    let Input::Json(value) = input else {
        return Err(input.is_not(MalformedCode::WrongType, EXPECTED));
    };
    let (part, named) = match Kind::detect(value) {
        Kind::Text | Kind::List => (AuthorPart::Platform, value),
        Kind::Object => only_member(value.get())?
            .and_then(|(member, value)| Some((AuthorPart::from_name(&member)?, value)))
            .ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))?,
        _ => return Err(input.is_not(MalformedCode::WrongType, EXPECTED)),
    };
    let steps = match Kind::detect(named) {
        Kind::List => step_names(Input::Json(named))?,
        _ => vec![step_name(Input::Json(named))?],
    };
    if steps.is_empty() {
        return Err(input.is_not(MalformedCode::BadValue, EXPECTED));
    }
    Ok(NotBy { steps, part })
}
