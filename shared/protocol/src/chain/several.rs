//! A step that asks several models: what may stand beside `models`, and the step that merges their answers.

use std::borrow::Cow;

use super::{
    Merge, MergeOf, OnFailure, StepName,
    check::Draft,
    faults::{Faults, Location},
    models::MergeField,
    name::LONGEST_STEP,
    parse::object,
    work::work,
};
use crate::envelope::{
    MessageLimits,
    by_name::ByName,
    fields::{Fields, Input},
};

/// The suffix of the step that asks the models whose answers another one merges.
const ASKED: &str = "_models";

/// Fields of the asking step's job that say nothing about the merge.
const NOT_INHERITED: &[&str] = &[
    "platform",
    "model",
    "type",
    "fallback",
    "logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "unique_key",
    "unique_for",
    "keep_result",
];

/// Fields that a merge sets itself.
const NOT_FOR_JUDGES: &[&str] = &["prompt", "messages", "system", "response_format", "spawn"];

/// Checks the fields beside `models` and `merge`. `members` are those of the job.
pub(super) fn check_models(
    draft: &Draft,
    members: &Fields<'_>,
    merge: Option<&MergeField<'_>>,
    faults: &mut Faults,
) {
    let location = &draft.location;
    if draft.models.is_none() {
        if merge.is_some() && draft.is_complete {
            faults.add(
                location,
                "field `merge`: expected `models` beside it, but there is none",
            );
        }
        return;
    }
    let spawns = draft.work.as_ref().is_some_and(|work| work.spawns);
    let beside = [
        (
            "foreach",
            draft.foreach.is_some(),
            "a step fans out over one list or over models",
        ),
        (
            "gather",
            draft.gather.is_some(),
            "name the step in `needs` and read `steps.NAME.items`",
        ),
        ("spawn", spawns, "the jobs would be spawned by each model"),
        (
            "model",
            members.0.get("model").is_some(),
            "name it in `models`",
        ),
        (
            "on_failure",
            draft.on_failure == OnFailure::Escalate,
            "`escalate` needs a single model: use `models: [...]` of the higher tier",
        ),
    ];
    for (field, _, why) in beside.into_iter().filter(|(_, is_set, _)| *is_set) {
        faults.add(
            location,
            format!("field `{field}`: cannot stand beside `models`: {why}"),
        );
    }
}

/// The step that asks the models, and the one that merges their answers under the name of both.
pub(super) fn split_merge(
    asking: Draft,
    members: &Fields<'_>,
    field: MergeField<'_>,
    limits: &MessageLimits,
    faults: &mut Faults,
) -> Vec<Draft> {
    let Some(name) = asking.name.clone() else {
        return vec![asking];
    };
    let Ok(asked) = StepName::parse(&format!("{name}{ASKED}")) else {
        let most = LONGEST_STEP - ASKED.len();
        faults.add(
            &asking.location,
            format!("field `name`: with `merge`, at most {most} characters: a second step is called `NAME{ASKED}`"),
        );
        return vec![asking];
    };
    let MergeField { merge, judge } = field;
    let mut merging = Draft {
        name: Some(name),
        is_complete: asking.is_complete,
        needs: vec![asked.clone()],
        when: asking.when.clone(),
        on_failure: asking.on_failure,
        ..Draft::unreadable(asking.number, asking.location.clone())
    };
    let place = asking.location.within("field `merge`: `judge`");
    let judge = match judge.map(|judge| object(judge, "fields of a job", &place, faults)) {
        None => None,
        Some(Some(judge)) => Some(judge),
        Some(None) => return vec![asking],
    };
    let mut job = job_of_merge(members, judge, &place, faults);
    // What is wrong with the job of the asking step is reported there.
    let mut of_judge = Faults::default();
    (merging.work, merging.uses) = work(&mut job, &place, limits, &mut of_judge);
    if asking.work.is_some() {
        faults.extend(of_judge);
    }
    if !merge.asks_a_model() {
        merging.uses.clear();
        if let Some(work) = &mut merging.work {
            work.templated = false;
        }
    }
    let of_condition = asking
        .uses
        .iter()
        .filter(|(field, _)| field == "field `when`");
    merging.uses.extend(of_condition.cloned());
    merging.extract = asking.extract;
    let ends_early = merge == Merge::First;
    merging.merge = Some(MergeOf {
        asked: asked.clone(),
        merge,
    });
    vec![
        Draft {
            name: Some(asked),
            ends_early,
            ..asking
        },
        merging,
    ]
}

/// The job of a merge: that of the asking step, with the fields that the judge has of its own.
fn job_of_merge<'a>(
    members: &Fields<'a>,
    judge: Option<Fields<'a>>,
    place: &Location,
    faults: &mut Faults,
) -> Fields<'a> {
    let inherited = members
        .0
        .iter()
        .filter(|(name, _)| !NOT_INHERITED.contains(name));
    let mut job: Vec<(Cow<'a, str>, Input<'a>)> = inherited
        .map(|(name, input)| (Cow::Owned(name.to_owned()), *input))
        .collect();
    for (name, input) in judge.into_iter().flat_map(|judge| judge.0) {
        if NOT_FOR_JUDGES.contains(&name.as_ref()) {
            faults.add(
                place,
                format!("field `{name}`: comes from the merge: leave it out"),
            );
            continue;
        }
        job.retain(|(known, _)| *known != name);
        job.push((name, input));
    }
    Fields(ByName::from_pairs(job).0)
}
