//! Parses a chain document field by field and reports all errors at once.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value, value::RawValue};
use url::Url;

use super::{
    ChainId, Document, Merge, OnComplete, OnFailure, Step, StepName, Validate,
    check::{self, Draft, Templates},
    extract::extract,
    faults::{BadChain, Faults, Location},
    gate::{check_gate, gate_name, gate_work},
    models,
    person::{check_person, person_work, take_person},
    several::{check_models, split_merge},
    template::Uses,
    tools::step_tools,
    validate::{self, check_validate, validate_work},
    work::{of_expression, with_reads, work},
};
use crate::{
    envelope::{
        MalformedCode, MessageLimits,
        fields::{self, Fields, Input, Problem, Read, decoded},
        json::{Kind, Members},
        members_of, objects, shortened, times,
    },
    id::JobId,
    reply::ReplyTo,
};

/// The most steps of a document. Larger chains use `foreach`.
pub const MAX_STEPS: usize = 10_000;

/// The fields of a document.
pub const FIELDS: &[&str] = &[
    "v",
    "id",
    "name",
    "max_cost_usd",
    "deadline",
    "max_parallel",
    "fail_fast",
    "tenant",
    "metadata",
    "traceparent",
    "reply",
    "on_complete",
    "steps",
];

/// The fields that a step has beside those of its job.
pub const STEP_FIELDS: &[&str] = &[
    "name",
    "needs",
    "when",
    "on_failure",
    "foreach",
    "gather",
    "models",
    "merge",
    "not_by",
    "min_success",
    "gate",
    "extract",
    "validate",
    "person",
    "workspace",
    "max_rounds",
];

/// The highest `max_parallel` and `min_success`.
const MOST: u32 = 100_000;

/// Parses a document and checks its fields, the jobs of its steps, its needs and its templates.
pub fn parse(text: &str, limits: &MessageLimits) -> Result<Document, BadChain> {
    let mut faults = Faults::default();
    let document = read(text, limits, Templates::OfChains, &mut faults);
    faults.into_result(document)
}

/// As [`parse`], for the chain of a recipe: its templates may read `job`, `parameters`, `round` and `last`.
pub fn parse_recipe(text: &str, limits: &MessageLimits) -> Result<Document, BadChain> {
    let mut faults = Faults::default();
    let document = read(text, limits, Templates::OfRecipes, &mut faults);
    faults.into_result(document)
}

fn read(
    text: &str,
    limits: &MessageLimits,
    templates: Templates,
    faults: &mut Faults,
) -> Option<Document> {
    let chain = Location::chain();
    if text.len() > limits.max_chain_bytes {
        let (most, size) = (limits.max_chain_bytes, text.len());
        faults.add(
            &chain,
            format!("expected at most {most} bytes, but got {size}"),
        );
        return None;
    }
    let (mut fields, wrong) = members_of(text, "chain", limits.max_chain_depth())
        .map_err(|wrong| faults.add(&chain, wrong))
        .ok()?;
    for wrong in wrong {
        faults.add(&chain, wrong);
    }
    let top = &mut fields;
    faults.kept(&chain, top.take("v", fields::version));
    let id = faults.kept(&chain, top.take("id", chain_id));
    let name = faults.kept(&chain, top.take("name", fields::name));
    let max_cost = faults.kept(&chain, top.take("max_cost_usd", fields::max_cost));
    let deadline = faults.kept(&chain, top.take("deadline", times::limit));
    let max_parallel = faults.kept(
        &chain,
        top.take("max_parallel", |v| fields::whole(v, 1..=MOST)),
    );
    let fail_fast = faults.kept(&chain, top.take("fail_fast", fields::boolean));
    let tenant = faults.kept(&chain, top.take("tenant", fields::name));
    let metadata = faults.kept(&chain, top.take("metadata", objects::metadata));
    let traceparent = faults.kept(&chain, top.take("traceparent", fields::traceparent));
    let reply = faults.kept(&chain, top.take("reply", fields::reply));
    let after = on_complete(top, limits, faults);
    let drafts = steps(top, limits, faults);
    check::check(
        &drafts,
        after.as_ref().map(|after| &after.uses),
        templates,
        faults,
    );
    let steps: Option<Vec<_>> = drafts.into_iter().map(finished).collect();
    let mut content: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| faults.add(&chain, format!("expected JSON: {error}")))
        .ok()?;
    content.remove("id");
    // The chain is the same whoever asks for its outcome, and in whichever trace.
    content.remove("traceparent");
    if matches!(reply, Some(Some(ReplyTo::Reader(_)))) {
        content.insert("reply".to_owned(), Value::Bool(true));
    }
    Some(Document {
        id,
        name,
        max_cost,
        deadline,
        max_parallel: max_parallel.and_then(std::num::NonZeroU32::new),
        fail_fast: fail_fast.unwrap_or(false),
        tenant,
        metadata,
        traceparent,
        reply: reply.flatten(),
        on_complete: after.map(|after| after.what),
        steps: steps?,
        hash: crate::envelope::ContentHash::from_json(&Value::Object(content)),
    })
}

fn chain_id(input: Input<'_>) -> Read<ChainId> {
    const EXPECTED: &str = "text of 1 to 64 characters of [A-Za-z0-9._:@-]";
    let text = input.text(EXPECTED)?;
    let id = ChainId::parse(&text).map_err(|_| input.is_not(MalformedCode::BadValue, EXPECTED))?;
    if JobId::parse(&text).is_ok_and(|id| id.is_server_form()) {
        return Err(input.is_not(
            MalformedCode::ReservedId,
            "an id that is not of the server's own form (1795232878059-0, queue:1795232878059-0)",
        ));
    }
    Ok(id)
}

/// What happens after the end, and what its texts read.
struct After {
    what: OnComplete,
    uses: Vec<(String, Uses)>,
}

fn on_complete(top: &mut Fields<'_>, limits: &MessageLimits, faults: &mut Faults) -> Option<After> {
    const EXPECTED: &str = "an object of either `job` (a job) or `webhook` (a URL)";
    let chain = Location::chain();
    let place = chain.within("field `on_complete`");
    let read = top.take("on_complete", |input| {
        only_member(input.of_kind(Kind::Object, EXPECTED)?)?
            .filter(|(name, _)| name == "job" || name == "webhook")
            .ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))
    });
    let (name, value) = faults.kept(&chain, read)?;
    if name == "job" {
        let mut members = object(value, "a job", &place, faults)?;
        let (work, uses) = work(&mut members, &place, limits, faults);
        let what = OnComplete::Job(with_reads(work?, &uses, None));
        return Some(After { what, uses });
    }
    let url = webhook(Input::Json(value))
        .map_err(|problem| faults.add(&place, format!("`webhook`: {}", problem.message)))
        .ok()?;
    Some(After {
        what: OnComplete::Webhook(url),
        uses: Vec::new(),
    })
}

fn webhook(input: Input<'_>) -> Read<String> {
    const EXPECTED: &str = "a URL of http or https, such as \"https://example.com/done\"";
    let text = input.text(EXPECTED)?;
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text),
        _ => Err(input.is_not(MalformedCode::BadValue, EXPECTED)),
    }
}

fn steps(top: &mut Fields<'_>, limits: &MessageLimits, faults: &mut Faults) -> Vec<Draft> {
    const EXPECTED: &str = "a list of steps";
    let chain = Location::chain();
    let read = top.take("steps", |input| {
        let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
        match list.len() {
            0 => Err(input.is_not(MalformedCode::BadValue, "at least one step")),
            1..=MAX_STEPS => Ok(list),
            many => Err(Problem {
                code: MalformedCode::OutOfRange,
                message: format!("expected at most {MAX_STEPS} steps, but got {many}"),
            }),
        }
    });
    match read {
        Ok(Some(list)) => (1..)
            .zip(list)
            .flat_map(|(number, json)| step(number, json, limits, faults))
            .collect(),
        Ok(None) => {
            faults.add(
                &chain,
                "field `steps`: expected a list of steps, but there is none",
            );
            Vec::new()
        }
        Err(wrong) => {
            faults.add(&chain, wrong);
            Vec::new()
        }
    }
}

/// The member of an object that has only one.
pub(super) fn only_member(object: &str) -> Read<Option<(Cow<'_, str>, &RawValue)>> {
    let members: Members<'_> = decoded(object)?;
    let mut both = members.by_name.into_iter();
    Ok(match (both.next(), both.next(), members.repeated) {
        (only, None, None) => only,
        _ => None,
    })
}

/// The members of an object, each name once.
pub(super) fn object<'a>(
    value: &'a RawValue,
    expected: &str,
    location: &Location,
    faults: &mut Faults,
) -> Option<Fields<'a>> {
    let members = Input::Json(value)
        .of_kind(Kind::Object, &format!("{expected}, an object"))
        .and_then(decoded::<Members<'_>>);
    match members {
        Ok(members) => {
            if let Some(name) = members.repeated {
                let name = shortened(&name);
                faults.add(
                    location,
                    format!("field `{name}`: expected it once, but got it more often"),
                );
            }
            Some(Fields(members.by_name.map(Input::Json)))
        }
        Err(problem) => {
            faults.add(location, problem.message);
            None
        }
    }
}

/// Reads a step. One that merges the answers of several models becomes two: `NAME_models` asks them, `NAME` merges.
fn step(number: usize, json: &RawValue, limits: &MessageLimits, faults: &mut Faults) -> Vec<Draft> {
    let by_number = Location::step(number, format!("step {number}"));
    let Some(mut members) = object(json, "a step", &by_number, faults) else {
        return vec![Draft::unreadable(number, by_number)];
    };
    let name = match members.take("name", step_name) {
        Ok(None) => {
            faults.add(
                &by_number,
                "field `name`: expected a name, but there is none",
            );
            None
        }
        read => faults.kept(&by_number, read),
    };
    let location = name.as_ref().map_or(by_number, |name| {
        Location::step(number, format!("step `{name}`"))
    });
    let faults_before = faults.count();
    let mut needs = faults
        .kept(&location, members.take("needs", step_names))
        .unwrap_or_default();
    let foreach = faults.kept(&location, members.take("foreach", fields::prompt));
    let gather = faults.kept(&location, members.take("gather", step_name));
    let models = faults.kept(&location, members.take("models", models::models));
    let merge = faults.kept(&location, members.take("merge", models::merge));
    let is_complete = faults.count() == faults_before;
    let not_by = faults.kept(&location, members.take("not_by", models::not_by));
    let when = faults.kept(&location, members.take("when", fields::prompt));
    let on_failure = faults.kept(&location, members.take("on_failure", on_failure));
    let min_success = faults.kept(
        &location,
        members.take("min_success", |value| fields::whole(value, 1..=MOST)),
    );
    let has_gate = members.0.get("gate").is_some();
    let gate = faults.kept(&location, members.take("gate", gate_name));
    let extract = faults.kept(&location, members.take("extract", extract));
    let asks_a_model = validate::asks_a_model(&members);
    let has_validate = members.0.get("validate").is_some();
    let validate = faults
        .kept(&location, members.take("validate", validate::validate))
        .map(|validate| Validate {
            asks_a_model,
            ..validate
        });
    let asked = take_person(&mut members, &location, faults);
    let tools = if has_gate || asked.is_some() {
        None
    } else {
        step_tools(&mut members, &location, limits, faults)
    };
    let (work, mut uses) = if has_gate {
        let work = gate
            .as_ref()
            .and_then(|gate| gate_work(gate, &mut members, &location, faults));
        (work, Vec::new())
    } else if has_validate && !asks_a_model {
        let work = validate
            .as_ref()
            .and_then(|validate| validate_work(validate, &mut members, &location, faults));
        (work, Vec::new())
    } else if let Some(asked) = &asked {
        let work = person_work(&mut members, &location, faults);
        (work, asked.uses.clone())
    } else {
        work(&mut members, &location, limits, faults)
    };
    for (field, expression) in [("when", &when), ("foreach", &foreach)] {
        if let Some(expression) = expression {
            let location = location.within(&format!("field `{field}`"));
            uses.extend(of_expression(field, expression, &location, faults));
        }
    }
    if let Some(not_by) = &not_by {
        uses.push(("field `not_by`".to_owned(), Uses::of_steps(&not_by.steps)));
    }
    if let Some(validate) = &validate {
        uses.push(("field `validate`".to_owned(), Uses::of_answer(&validate.of)));
        if !needs.contains(&validate.of) {
            needs.push(validate.of.clone());
        }
    }
    if let Some(gather) = &gather
        && !needs.contains(gather)
    {
        needs.push(gather.clone());
    }
    let draft = Draft {
        number,
        location,
        name,
        is_complete,
        needs,
        when,
        on_failure: on_failure.unwrap_or(OnFailure::Fail),
        foreach,
        gather,
        models,
        merge: None,
        not_by,
        min_success,
        ends_early: false,
        work,
        uses,
        gate,
        extract,
        validate,
        person: asked.and_then(|asked| asked.person),
        tools,
    };
    check_person(&draft, merge.is_some(), faults);
    check_gate(&draft, merge.is_some(), faults);
    check_validate(&draft, &members, merge.is_some(), faults);
    check_models(&draft, &members, merge.as_ref(), faults);
    match merge.or_else(|| merge_of_verdicts(&draft)) {
        Some(merge) if draft.models.is_some() => {
            split_merge(draft, &members, merge, limits, faults)
        }
        _ => vec![draft],
    }
}

/// The merge of a step that asks several models for verdicts.
fn merge_of_verdicts(draft: &Draft) -> Option<models::MergeField<'static>> {
    draft.validate.as_ref().map(|_| models::MergeField {
        merge: Merge::Verdicts,
        judge: None,
    })
}

/// Builds the step from a draft without errors.
fn finished(draft: Draft) -> Option<Step> {
    let work = with_reads(draft.work?, &draft.uses, draft.gather.as_ref());
    Some(Step {
        name: draft.name?,
        needs: draft.needs,
        when: draft.when,
        on_failure: draft.on_failure,
        foreach: draft.foreach,
        gather: draft.gather,
        models: draft.models,
        merge: draft.merge,
        not_by: draft.not_by,
        min_success: draft.min_success,
        ends_early: draft.ends_early,
        work,
        gate: draft.gate,
        extract: draft.extract,
        validate: draft.validate,
        person: draft.person,
        tools: draft.tools,
    })
}

const STEP_NAME: &str = "a letter or `_`, then letters, digits or `_`, at most 48 in all";

fn named(text: &str) -> Read<StepName> {
    StepName::parse(text).map_err(|_| Problem {
        code: MalformedCode::BadValue,
        message: format!("expected {STEP_NAME}, but got \"{}\"", shortened(text)),
    })
}

pub(super) fn step_name(input: Input<'_>) -> Read<StepName> {
    named(&input.text(STEP_NAME)?)
}

pub(super) fn step_names(input: Input<'_>) -> Read<Vec<StepName>> {
    const EXPECTED: &str = "a list of names of steps";
    let list: Vec<&RawValue> = decoded(input.of_kind(Kind::List, EXPECTED)?)?;
    let names: Vec<_> = list
        .into_iter()
        .map(|name| step_name(Input::Json(name)))
        .collect::<Read<_>>()?;
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        None => Ok(names),
        Some(twice) => Err(Problem {
            code: MalformedCode::BadValue,
            message: format!("expected each name once, but got `{twice}` more often"),
        }),
    }
}

fn on_failure(input: Input<'_>) -> Read<OnFailure> {
    const EXPECTED: &str = "fail, continue or escalate";
    OnFailure::from_name(&input.text(EXPECTED)?)
        .ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))
}
