//! Steps that check the answer of another step: by rules, and by a model that gives a verdict.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    OnFailure, StepName, Work,
    check::Draft,
    faults::{Faults, Location},
    models::long_text,
    parse::{only_member, step_name},
    work::work_without_call,
};
use crate::{
    envelope::{
        MalformedCode,
        fields::{self, Fields, Input, Problem, Read, decoded},
        json::{Kind, Members},
        shortened,
    },
    outcome::Outcome,
};

/// The job type of a step that checks without a model.
const TYPE: &str = "validate";

/// The most checks of a step.
const MAX_CHECKS: usize = 50;

/// The longest answer that a check may ask for, in characters.
const LONGEST: u32 = 100_000_000;

/// The largest compiled pattern, in bytes.
const PATTERN_BYTES: usize = 1024 * 1024;

/// How a step checks the answer of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validate {
    /// The step whose answer is checked.
    pub of: StepName,
    /// The rules that the answer must keep. They are checked first, and cost nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What makes an answer good, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rubric: Option<String>,
    /// Whether a model gives the verdict on an answer that keeps the rules. The prompt of the step is the task of the
    /// answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_a_model: bool,
}

/// A rule that an answer must keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It contains JSON that matches this JSON Schema.
    JsonSchema(Value),
    /// It matches this regular expression.
    Matches(String),
    /// It does not match this regular expression.
    NotMatches(String),
    /// It has at least this many characters.
    MinLength(u32),
    /// It has at most this many characters.
    MaxLength(u32),
}

string_enum! {
    /// What a validator says about an answer.
    Verdict {
        Approve = "approve",
        NeedsRevision = "needs_revision",
        Reject = "reject",
    }
}

/// The result of a step with `validate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    pub verdict: Verdict,
    /// From 0 to 10; null if no model gave one.
    pub score: Option<f64>,
    /// Why, for people and for the next round.
    pub reasons: Vec<String>,
    /// Whether a person should look at the answer.
    pub needs_human_review: bool,
}

impl Validation {
    /// Of an answer that breaks these rules.
    pub fn rejected(reasons: Vec<String>) -> Self {
        Self {
            verdict: Verdict::Reject,
            score: None,
            reasons,
            needs_human_review: false,
        }
    }

    /// Of an answer that keeps all rules, for a step that asks no model.
    pub fn approved() -> Self {
        Self {
            verdict: Verdict::Approve,
            score: None,
            reasons: Vec::new(),
            needs_human_review: false,
        }
    }

    /// Of an answer about which the validator said nothing usable.
    pub fn for_a_person(reason: String) -> Self {
        Self {
            verdict: Verdict::NeedsRevision,
            score: None,
            reasons: vec![reason],
            needs_human_review: true,
        }
    }

    /// What several validators say together. `None` if none of them has ended with a verdict.
    ///
    /// An answer is approved if all approve, and rejected if more than half reject. A person should look if any of them
    /// says so, if they disagree, or if one of them gave no verdict.
    pub fn of_several(outcomes: &[Outcome]) -> Option<Self> {
        let given: Vec<&Self> = outcomes
            .iter()
            .filter_map(|outcome| outcome.validation.as_deref())
            .collect();
        let first = given.first()?;
        let rejected = given.iter().filter(|one| one.verdict == Verdict::Reject);
        let verdict = if given.iter().all(|one| one.verdict == Verdict::Approve) {
            Verdict::Approve
        } else if rejected.count() * 2 > given.len() {
            Verdict::Reject
        } else {
            Verdict::NeedsRevision
        };
        let disagree = given.iter().any(|one| one.verdict != first.verdict);
        let are_missing = given.len() < outcomes.len();
        let scores: Vec<f64> = given.iter().filter_map(|one| one.score).collect();
        Some(Self {
            verdict,
            score: mean(&scores),
            reasons: outcomes.iter().flat_map(reasons_of).collect(),
            needs_human_review: disagree
                || are_missing
                || given.iter().any(|one| one.needs_human_review),
        })
    }
}

impl fmt::Display for Validation {
    /// `needs_revision, score 5.5, needs human review: too long; no end`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if let Some(score) = self.score {
            write!(f, ", score {score}")?;
        }
        if self.needs_human_review {
            f.write_str(", needs human review")?;
        }
        if !self.reasons.is_empty() {
            write!(f, ": {}", self.reasons.join("; "))?;
        }
        Ok(())
    }
}

/// The mean, to one decimal place.
fn mean(scores: &[f64]) -> Option<f64> {
    let count = u32::try_from(scores.len())
        .ok()
        .filter(|count| *count > 0)?;
    let mean = scores.iter().sum::<f64>() / f64::from(count);
    Some((mean * 10.0).round() / 10.0)
}

/// The reasons of one of several validators, each with its model.
fn reasons_of(outcome: &Outcome) -> Vec<String> {
    let model = outcome.model.as_deref().unwrap_or("a validator");
    let Some(validation) = &outcome.validation else {
        let error = outcome.error.as_deref().unwrap_or("no verdict");
        return vec![format!("{model}: {error}")];
    };
    let reasons = validation.reasons.iter();
    reasons.map(|reason| format!("{model}: {reason}")).collect()
}

/// Compiles the pattern of a check.
pub fn pattern(text: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(text).size_limit(PATTERN_BYTES).build();
    compiled.map_err(|error| {
        // The first lines show the pattern and point into it.
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

/// Reads the field `validate`.
pub(super) fn validate(input: Input<'_>) -> Read<Validate> {
    const EXPECTED: &str = "an object of `of`, the step to check, and `checks` or `rubric`";
    let members: Members<'_> = decoded(input.of_kind(Kind::Object, EXPECTED)?)?;
    let mut members = Fields(members.by_name.map(Input::Json));
    let of = members.0.remove("of");
    let of = of.ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))?;
    let of = step_name(of).map_err(|wrong| wrong.at("`of`"))?;
    let checks = match members.0.remove("checks") {
        Some(list) => checks(list).map_err(|wrong| wrong.at("`checks`"))?,
        None => Vec::new(),
    };
    let rubric = long_text(&mut members, "rubric")?;
    match members.0.iter().next() {
        None => Ok(Validate {
            of,
            checks,
            rubric,
            asks_a_model: false,
        }),
        Some((name, _)) => Err(Problem {
            code: MalformedCode::BadValue,
            message: format!(
                "expected `of`, `checks` or `rubric`, but got `{}`",
                shortened(name)
            ),
        }),
    }
}

fn checks(input: Input<'_>) -> Read<Vec<Check>> {
    const EXPECTED: &str = "a list of checks";
    let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
    if list.len() > MAX_CHECKS {
        return Err(Problem {
            code: MalformedCode::OutOfRange,
            message: format!(
                "expected at most {MAX_CHECKS} checks, but got {}",
                list.len()
            ),
        });
    }
    (1..)
        .zip(list)
        .map(|(number, json)| {
            check(Input::Json(json)).map_err(|wrong| wrong.at(format!("check {number}")))
        })
        .collect()
}

fn check(input: Input<'_>) -> Read<Check> {
    const EXPECTED: &str =
        "an object with one of json_schema, matches, not_matches, min_length or max_length";
    let wrong = || input.is_not(MalformedCode::BadValue, EXPECTED);
    let only = only_member(input.of_kind(Kind::Object, EXPECTED)?)?;
    let (name, value) = only.ok_or_else(wrong)?;
    let value = Input::Json(value);
    let read = match name.as_ref() {
        "json_schema" => value
            .of_kind(Kind::Object, "a JSON Schema, an object")
            .and_then(decoded)
            .map(Check::JsonSchema),
        "matches" => expression(value).map(Check::Matches),
        "not_matches" => expression(value).map(Check::NotMatches),
        "min_length" => fields::whole(value, 1..=LONGEST).map(Check::MinLength),
        "max_length" => fields::whole(value, 1..=LONGEST).map(Check::MaxLength),
        _ => return Err(wrong()),
    };
    read.map_err(|problem| problem.at(format!("`{name}`")))
}

fn expression(input: Input<'_>) -> Read<String> {
    let text = fields::prompt(input)?;
    match pattern(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Problem {
            code: MalformedCode::BadValue,
            message: format!("expected a regular expression, but got one with a fault: {error}"),
        }),
    }
}

/// The step's own job, if no model is asked: it has no field of a call.
pub(super) fn validate_work(
    validate: &Validate,
    members: &mut Fields<'_>,
    location: &Location,
    faults: &mut Faults,
) -> Option<Work> {
    let prompt = format!("Check the answer of step `{}`.", validate.of);
    work_without_call((TYPE, &prompt), members, location, faults, |name| {
        format!(
            "field `{name}`: needs a `prompt` beside `validate`: the task of the answer, for the model that judges it"
        )
    })
}

/// Whether the step asks a model for its verdict.
pub(super) fn asks_a_model(members: &Fields<'_>) -> bool {
    ["prompt", "messages"]
        .iter()
        .any(|name| members.0.get(name).is_some())
}

/// Checks the fields of the step beside `validate`.
pub(super) fn check_validate(
    draft: &Draft,
    members: &Fields<'_>,
    has_merge: bool,
    faults: &mut Faults,
) {
    let Some(validate) = &draft.validate else {
        return;
    };
    let location = &draft.location;
    let of_job = ["response_format", "spawn", "tools", "recipe"];
    let of_job = of_job.map(|name| (name, members.0.get(name).is_some()));
    let of_step = [
        ("foreach", draft.foreach.is_some()),
        ("gather", draft.gather.is_some()),
        ("merge", has_merge),
        ("gate", draft.gate.is_some()),
        ("extract", draft.extract.is_some()),
        ("tools", draft.tools.is_some()),
    ];
    for (field, _) in of_job
        .into_iter()
        .chain(of_step)
        .filter(|(_, is_set)| *is_set)
    {
        faults.add(
            location,
            format!("field `{field}`: cannot stand beside `validate`: the answer of the step is a verdict"),
        );
    }
    if validate.asks_a_model {
        return;
    }
    if validate.checks.is_empty() {
        faults.add(
            location,
            "field `validate`: expected `checks`, or a `prompt` beside it (the task of the answer) for a model that judges it",
        );
    }
    let of_models = [
        ("models", draft.models.is_some()),
        ("not_by", draft.not_by.is_some()),
        ("validate`: `rubric", validate.rubric.is_some()),
        ("on_failure", draft.on_failure == OnFailure::Escalate),
    ];
    for (field, _) in of_models.into_iter().filter(|(_, is_set)| *is_set) {
        faults.add(
            location,
            format!("field `{field}`: needs a `prompt` beside `validate`: the task of the answer, for the model that judges it"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::JobId, state::JobState};

    /// A validator's outcome; without a verdict, it failed.
    fn outcome(verdict: Option<(Verdict, f64)>) -> Outcome {
        let id = JobId::parse("c/check/0").unwrap();
        let error = "no answer in time".to_owned();
        Outcome {
            model: Some("m".to_owned()),
            validation: verdict.map(|(verdict, score)| {
                Box::new(Validation {
                    verdict,
                    score: Some(score),
                    reasons: vec![format!("I say {verdict}")],
                    needs_human_review: false,
                })
            }),
            ..Outcome::without_calls(id, JobState::Discarded, "timeout", error)
        }
    }

    fn together(verdicts: &[Option<(Verdict, f64)>]) -> (Verdict, Option<f64>, bool) {
        let outcomes: Vec<Outcome> = verdicts.iter().copied().map(outcome).collect();
        let all = Validation::of_several(&outcomes).unwrap();
        assert_eq!(all.reasons.len(), verdicts.len());
        (all.verdict, all.score, all.needs_human_review)
    }

    #[test]
    fn several_verdicts_become_one() {
        use Verdict::{Approve, NeedsRevision, Reject};
        let (yes, no, change) = (
            Some((Approve, 9.0)),
            Some((Reject, 2.0)),
            Some((NeedsRevision, 6.0)),
        );
        for (verdicts, together_they_say) in [
            (vec![yes, yes], (Approve, Some(9.0), false)),
            (vec![no, no], (Reject, Some(2.0), false)),
            (vec![yes, no], (NeedsRevision, Some(5.5), true)),
            (vec![yes, no, no], (Reject, Some(4.3), true)),
            (vec![change, change], (NeedsRevision, Some(6.0), false)),
            (vec![yes, None], (Approve, Some(9.0), true)),
        ] {
            assert_eq!(together(&verdicts), together_they_say, "{verdicts:?}");
        }
        assert_eq!(Validation::of_several(&[outcome(None)]), None);
        let missing = Validation::of_several(&[outcome(yes), outcome(None)]).unwrap();
        assert_eq!(
            missing.reasons,
            ["m: I say approve", "m: no answer in time"]
        );
    }
}
