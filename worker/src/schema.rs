//! Whether an answer has the form that the job asked for.

use jsonschema::Validator;
use longshore_protocol::{
    call::{Answer, Call, CallError, ErrorClass, FinishReason, Spend},
    chain::spawn::spawned,
    envelope::Limits,
};
use serde_json::Value;

use crate::provider::{Provider, schema};

/// As many of the things that are wrong with an answer as are told.
const MOST_TOLD: usize = 3;
/// The longest message for people, in characters.
const LONGEST: usize = 500;

/// The form that an answer must have.
enum Form {
    Any,
    Object,
    Schema(Box<Validator>),
}

/// Asks `provider`, and takes only an answer of the form that the call asks for. A schema that is none
/// is told before anything is asked.
pub async fn checked(
    provider: &dyn Provider,
    call: &Call,
    limits: &Limits,
) -> Result<Answer, CallError> {
    let form = form(call)?;
    let answer = provider.call(call).await?;
    fits(&form, &answer)?;
    if call.spawn {
        spawned(&answer.output, limits).map_err(|wrong| misfit(&answer, &wrong))?;
    }
    Ok(answer)
}

fn form(call: &Call) -> Result<Form, CallError> {
    let kind = call
        .response_format
        .as_ref()
        .and_then(|form| form.get("type"));
    match kind.and_then(Value::as_str) {
        Some("json_object") => Ok(Form::Object),
        Some("json_schema") => {
            let wrong = |why: &str| {
                let said = format!("`response_format` has no usable JSON schema: {why}");
                CallError::new(ErrorClass::BadRequest, cut(said))
            };
            let schema = schema(call).ok_or_else(|| wrong("`json_schema.schema` is missing"))?;
            let validator = jsonschema::validator_for(schema);
            let validator = validator.map_err(|error| wrong(&error.to_string()))?;
            Ok(Form::Schema(Box::new(validator)))
        }
        _ => Ok(Form::Any),
    }
}

fn fits(form: &Form, answer: &Answer) -> Result<(), CallError> {
    if matches!(form, Form::Any) {
        return Ok(());
    }
    let value: Value = serde_json::from_str(&answer.output)
        .map_err(|error| misfit(answer, &format!("it is not JSON: {error}")))?;
    match form {
        Form::Schema(validator) => {
            let wrong: Vec<String> = validator
                .iter_errors(&value)
                .take(MOST_TOLD)
                // Where, and what is expected; not what stands there, which may be long.
                .map(|error| match error.instance_path().as_str() {
                    "" => error.masked().to_string(),
                    at => format!("{at}: {}", error.masked()),
                })
                .collect();
            if wrong.is_empty() {
                return Ok(());
            }
            let said = format!(
                "it does not fit the job's JSON schema: {}",
                wrong.join("; ")
            );
            Err(misfit(answer, &said))
        }
        Form::Object if !value.is_object() => Err(misfit(answer, "it is not a JSON object")),
        Form::Object | Form::Any => Ok(()),
    }
}

/// An answer of another form. It is paid for.
fn misfit(answer: &Answer, said: &str) -> CallError {
    let why = match answer.finish_reason {
        FinishReason::Length => " (it was cut off at its limit of tokens)",
        _ => "",
    };
    let said = format!("The answer cannot be used{why}: {said}");
    CallError {
        room: answer.room,
        ..CallError::new(ErrorClass::BadOutput, cut(said)).spend(Spend::Known(answer.usage))
    }
}

fn cut(said: String) -> String {
    match said.char_indices().nth(LONGEST) {
        Some(_) => said.chars().take(LONGEST - 1).chain(['…']).collect(),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use longshore_protocol::call::{ProviderRoom, RoomLeft, Usage};
    use serde_json::json;

    use super::*;
    use crate::provider::tests::call;

    fn check(call: &Call, answer: &Answer) -> Result<(), CallError> {
        fits(&form(call)?, answer)
    }

    fn asking(form: Value) -> Call {
        Call {
            response_format: Some(form),
            ..call()
        }
    }

    fn with_schema(schema: &Value) -> Call {
        asking(json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}))
    }

    fn answer(output: &str) -> Answer {
        Answer {
            output: output.to_owned(),
            finish_reason: FinishReason::Stop,
            usage: Usage {
                input: 3,
                output: 4,
                ..Usage::default()
            },
            model: None,
            response_id: None,
            reported_cost: None,
            room: ProviderRoom {
                requests: Some(RoomLeft {
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
    fn what_fits_is_taken() {
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
    fn what_does_not_fit_is_told_and_paid_for() {
        let told = |call: &Call, answer: &Answer| {
            let error = check(call, answer).unwrap_err();
            assert_eq!(error.class, ErrorClass::BadOutput);
            assert_eq!(error.spend, Spend::Known(answer.usage));
            assert_eq!(error.room, answer.room);
            error.message
        };
        let object = asking(json!({"type": "json_object"}));
        let mut cut_off = answer(r#"{"items": ["#);
        cut_off.finish_reason = FinishReason::Length;
        let secret = answer(r#"{"items": [{"price": "hunter2"}, {"price": -1}, {}, {}], "x": 1}"#);
        let told = [
            told(&items(), &answer("```json\n{}\n```")),
            told(&items(), &cut_off),
            told(&items(), &secret),
            told(&items(), &answer("{}")),
            told(&object, &answer("[]")),
            told(&object, &answer("Sure!")),
        ];
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_schema_that_is_none_is_the_jobs_mistake() {
        for schema in [
            json!({"type": "objekt"}),
            json!({"$ref": "https://example.com/elsewhere.json"}),
            json!({"pattern": "("}),
            json!(7),
        ] {
            let error = check(&with_schema(&schema), &answer("{}")).unwrap_err();
            assert_eq!(error.class, ErrorClass::BadRequest, "{error}");
            assert_eq!(error.spend, Spend::Nothing);
        }
        let missing = asking(json!({"type": "json_schema"}));
        let error = check(&missing, &answer("{}")).unwrap_err();
        assert_eq!(
            error.message,
            "`response_format` has no usable JSON schema: `json_schema.schema` is missing"
        );
    }

    struct Says(&'static str);

    impl Provider for Says {
        fn call<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
            Box::pin(async { Ok(answer(self.0)) })
        }
    }

    struct Never;

    impl Provider for Never {
        fn call<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
            panic!("asked")
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_for_what_cannot_be_checked() {
        let wrong = with_schema(&json!({"type": "objekt"}));
        let error = checked(&Never, &wrong, &Limits::default())
            .await
            .unwrap_err();
        assert_eq!(error.class, ErrorClass::BadRequest);
        let fits = r#"{"items": []}"#;
        assert_eq!(
            checked(&Says(fits), &items(), &Limits::default())
                .await
                .unwrap()
                .output,
            fits
        );
        let error = checked(&Says("[]"), &items(), &Limits::default())
            .await
            .unwrap_err();
        assert_eq!(error.class, ErrorClass::BadOutput);
    }
}
