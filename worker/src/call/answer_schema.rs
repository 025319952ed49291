//! Checks that an answer has the form that the job asks for.

use std::fmt;

use jsonschema::Validator;
use longshore_protocol::{
    call::{Answer, Call, CallCost, CallError, ErrorClass, FinishReason, Remedy},
    chain::spawn::spawned,
    envelope::MessageLimits,
};
use serde_json::Value;

use crate::{blocking, json_schema, provider::shorten};

/// The form that an answer must have.
pub(super) enum AnswerForm {
    Any,
    Object,
    Schema(Box<Validator>),
}

impl AnswerForm {
    /// The form of the answers to a call. Fails if its schema is invalid.
    pub(super) async fn of(call: &Call) -> Result<Self, CallError> {
        let Some(schema) = schema_of(call)? else {
            return Ok(plain_form(call));
        };
        let schema = schema.clone();
        let compiled = blocking::SCHEMAS.run(move || compile(&schema)).await;
        let validator = compiled.map_err(|error| bad_schema(&error))??;
        Ok(Self::Schema(Box::new(validator)))
    }

    /// Accepts an answer of this form. An answer of another form keeps its cost.
    pub(super) async fn accept(
        self,
        answer: Answer,
        call: &Call,
        limits: &MessageLimits,
    ) -> Result<Answer, CallError> {
        // Tools first: the answer in the required form follows their results.
        let is_due = answer.tool_calls.is_empty();
        let answer = if !is_due {
            answer
        } else if matches!(self, Self::Schema(_)) {
            let billed = answer.usage;
            let checked =
                blocking::SCHEMAS.run(move || check_form(&self, &answer).map(|()| answer));
            checked
                .await
                .map_err(|error| bad_schema(&error).spend(CallCost::Known(billed)))??
        } else {
            check_form(&self, &answer)?;
            answer
        };
        if call.spawn {
            spawned(&answer.output, limits).map_err(|fault| unusable_answer(&answer, &fault))?;
        }
        if let Some(extract) = call.extract.filter(|_| is_due) {
            let found = extract.find(&answer.output);
            found.map_err(|fault| unusable_answer(&answer, &fault))?;
        }
        Ok(answer)
    }
}

/// The form of an answer that needs no schema.
fn plain_form(call: &Call) -> AnswerForm {
    match call.params.format_type() {
        Some("json_object") => AnswerForm::Object,
        _ => AnswerForm::Any,
    }
}

/// The schema that an answer must match, if the call has one.
fn schema_of(call: &Call) -> Result<Option<&Value>, CallError> {
    if call.params.format_type() != Some("json_schema") {
        return Ok(None);
    }
    let schema = call.params.json_schema();
    let schema = schema.ok_or_else(|| bad_schema(&"`json_schema.schema` is missing"))?;
    json_schema::check_size(schema).map_err(|fault| bad_schema(&fault))?;
    Ok(Some(schema))
}

fn compile(schema: &Value) -> Result<Validator, CallError> {
    json_schema::compile(schema).map_err(|error| bad_schema(&error))
}

fn bad_schema(why: &dyn fmt::Display) -> CallError {
    let message = format!("`response_format` has no usable JSON schema: {why}");
    CallError::new(ErrorClass::BadRequest, shorten(message))
}

fn check_form(form: &AnswerForm, answer: &Answer) -> Result<(), CallError> {
    if matches!(form, AnswerForm::Any) {
        return Ok(());
    }
    let value: Value = serde_json::from_str(&answer.output)
        .map_err(|error| unusable_answer(answer, &format!("not JSON: {error}")))?;
    match form {
        AnswerForm::Schema(validator) => {
            let violations = json_schema::violations(validator, &value);
            if violations.is_empty() {
                return Ok(());
            }
            let fault = format!(
                "it does not match the job's JSON schema: {}",
                violations.join("; ")
            );
            Err(unusable_answer(answer, &fault))
        }
        AnswerForm::Object if !value.is_object() => {
            Err(unusable_answer(answer, "not a JSON object"))
        }
        AnswerForm::Object | AnswerForm::Any => Ok(()),
    }
}

/// The error for an answer of another form. The provider bills it.
fn unusable_answer(answer: &Answer, fault: &str) -> CallError {
    let (truncated, remedy) = match answer.finish_reason {
        FinishReason::Length => (" (truncated at its token limit)", Remedy::LargerLimit),
        _ => ("", Remedy::TellFault),
    };
    let message = format!("Unusable answer{truncated}: {fault}");
    CallError {
        room: answer.room,
        ..CallError::new(ErrorClass::BadOutput, shorten(message))
            .spend(CallCost::Known(answer.usage))
            .remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::call::{ReportedLimit, ReportedLimits, Usage};
    use serde_json::json;

    use super::*;
    use crate::provider::tests::call;

    fn check(call: &Call, answer: &Answer) -> Result<(), CallError> {
        let form = match schema_of(call)? {
            Some(schema) => AnswerForm::Schema(Box::new(compile(schema)?)),
            None => plain_form(call),
        };
        check_form(&form, answer)
    }

    fn asking(form: Value) -> Call {
        let mut call = call();
        call.params.response_format = Some(form);
        call
    }

    fn with_schema(schema: &Value) -> Call {
        asking(json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}))
    }

    fn answer(output: &str) -> Answer {
        Answer {
            output: output.to_owned(),
            tool_calls: Vec::new(),
            logprobs: None,
            finish_reason: FinishReason::Stop,
            usage: Usage {
                input: 3,
                output: 4,
                ..Usage::default()
            },
            model: None,
            response_id: None,
            reported_cost: None,
            room: ReportedLimits {
                requests: Some(ReportedLimit {
                    remaining: 1,
                    reset_after: std::time::Duration::from_secs(1),
                }),
                tokens: None,
            },
        }
    }

    fn items() -> Call {
        with_schema(&json!({
            "type": "object", "required": ["items"], "additionalProperties": false,
            "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
            "$defs": {"item": {"type": "object", "required": ["price"],
                "properties": {"price": {"type": "number", "minimum": 0}}}},
        }))
    }

    #[test]
    fn an_answer_of_the_required_form_is_accepted() {
        for (call, output) in [
            (
                items(),
                r#" {"items": [{"price": 0.5}, {"price": 2, "more": 1}]} "#,
            ),
            (asking(json!({"type": "json_object"})), "{}"),
            (asking(json!({"type": "text"})), "no JSON"),
            (call(), "no JSON"),
            (with_schema(&json!(true)), "1"),
        ] {
            check(&call, &answer(output)).unwrap();
        }
    }

    #[test]
    fn an_answer_of_another_form_is_an_error_that_keeps_its_cost() {
        let error_for = |call: &Call, answer: &Answer| {
            let error = check(call, answer).unwrap_err();
            assert_eq!(error.class, ErrorClass::BadOutput);
            assert_eq!(error.spend, CallCost::Known(answer.usage));
            assert_eq!(error.room, answer.room);
            error.message
        };
        let object = asking(json!({"type": "json_object"}));
        let mut cut_off = answer(r#"{"items": ["#);
        cut_off.finish_reason = FinishReason::Length;
        let secret = answer(r#"{"items": [{"price": "hunter2"}, {"price": -1}, {}, {}], "x": 1}"#);
        let errors = [
            error_for(&items(), &answer("```json\n{}\n```")),
            error_for(&items(), &cut_off),
            error_for(&items(), &secret),
            error_for(&items(), &answer("{}")),
            error_for(&object, &answer("[]")),
            error_for(&object, &answer("Sure!")),
        ];
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn an_invalid_schema_is_a_bad_request() {
        for schema in [
            json!({"type": "objekt"}),
            json!({"$ref": "https://example.com/elsewhere.json"}),
            json!({"pattern": "("}),
            json!(7),
        ] {
            let error = check(&with_schema(&schema), &answer("{}")).unwrap_err();
            assert_eq!(error.class, ErrorClass::BadRequest, "{error}");
            assert_eq!(error.spend, CallCost::Nothing);
        }
        let missing = asking(json!({"type": "json_schema"}));
        let error = check(&missing, &answer("{}")).unwrap_err();
        assert_eq!(
            error.message,
            "`response_format` has no usable JSON schema: `json_schema.schema` is missing"
        );
    }

    #[tokio::test]
    async fn a_form_is_checked_before_the_call_and_its_answer_after_it() {
        let wrong = with_schema(&json!({"type": "objekt"}));
        let error = AnswerForm::of(&wrong).await.err().unwrap();
        assert_eq!(error.class, ErrorClass::BadRequest);
        let accept = async |output: &str| {
            let form = AnswerForm::of(&items()).await.unwrap();
            let limits = MessageLimits::default();
            form.accept(answer(output), &items(), &limits).await
        };
        let fits = r#"{"items": []}"#;
        assert_eq!(accept(fits).await.unwrap().output, fits);
        let error = accept("[]").await.unwrap_err();
        assert_eq!(error.class, ErrorClass::BadOutput);
    }

    #[test]
    fn a_schema_of_many_values_is_a_bad_request() {
        let schema = |values: usize| with_schema(&json!({"enum": vec![0; values]}));
        assert!(schema_of(&schema(19_000)).is_ok());
        let error = schema_of(&schema(21_000)).unwrap_err();
        assert_eq!(
            error.message,
            "`response_format` has no usable JSON schema: it has more than 20000 values"
        );
    }
}
