//! The messages in `docs/protocol/golden` have the meaning stated next to them.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::{Envelope, Limit, NotBefore, Retry};
use super::{flat, job, read};
use crate::reply::ReplyTo;

#[test]
fn golden_files_hold() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/golden");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for folder in ["good", "flat", "bad"] {
        for file in std::fs::read_dir(golden.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let golden: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            seen += 1;
            if let Err(words) = check_golden(&golden) {
                wrong.push(format!("{}: {words}", path.display()));
            }
        }
    }
    assert!(seen > 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check_golden(golden: &Value) -> Result<(), String> {
    let message = if let Some(json) = golden["message"].as_str() {
        job(json)
    } else {
        let pairs: Vec<(String, String)> =
            serde_json::from_value(golden["fields"].clone()).unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        flat(&pairs)
    };
    match (read(&message), golden["code"].as_str()) {
        (Err(error), Some(code)) => {
            let same =
                error.code.as_str() == code && error.field.as_deref() == golden["field"].as_str();
            same.then_some(())
                .ok_or_else(|| format!("{} in {:?}: {error}", error.code, error.field))
        }
        (Ok(_), Some(_)) => Err("was accepted".to_owned()),
        (Err(error), None) => Err(error.to_string()),
        (Ok(parsed), None) => {
            let again = read(&job(&golden["normalized"].to_string()));
            if again.map(|again| again.envelope) != Ok(parsed.envelope.clone()) {
                return Err("its normalized form means something else".to_owned());
            }
            let given = golden["normalized"].as_object().unwrap();
            let ours = normalized(&parsed.envelope);
            for (name, value) in given {
                let same = ours.get(name).is_some_and(|ours| match value.as_f64() {
                    Some(number) => ours.as_f64() == Some(number),
                    None => ours == value,
                });
                let known = ours.contains_key(name);
                if known && !same {
                    return Err(format!("{name} is {:?}, not {value}", ours.get(name)));
                }
                if !known && !["v", "colour", "x-team"].contains(&name.as_str()) {
                    return Err(format!("{name} was lost"));
                }
            }
            Ok(())
        }
    }
}

/// An envelope in the format of the golden files.
fn normalized(envelope: &Envelope) -> Map<String, Value> {
    let limit = |limit: Limit| match limit {
        Limit::After(after) => json!(after.as_secs_f64()),
        Limit::At(at) => json!(at.timestamp_millis()),
    };
    let reply = match &envelope.reply {
        Some(reader @ ReplyTo::Reader(_)) => json!(reader.to_string()),
        reply => json!(reply.is_some()),
    };
    let mut all = json!({
        "id": envelope.id, "type": envelope.task_type, "prompt": envelope.messages[0].text(),
        "messages": envelope.messages, "system": envelope.system, "platform": envelope.platform,
        "model": envelope.model, "risk": envelope.routing.risk, "area": envelope.routing.area,
        "complexity": envelope.routing.complexity,
        "start_by": envelope.start_by.map(limit), "deadline": envelope.deadline.map(limit),
        "timeout": envelope.timeout.as_secs_f64(), "fallback": envelope.fallback,
        "max_cost_usd": envelope.max_cost, "chain_id": envelope.chain_id,
        "parent_id": envelope.parent_id, "tenant": envelope.tenant,
        "metadata": envelope.metadata, "reply": reply, "keep_result": envelope.keep_result,
        "traceparent": envelope.traceparent,
        "unique_key": envelope.unique.as_ref().map(|unique| &unique.key),
        "unique_for": envelope.unique.as_ref().map(|unique| unique.ttl.as_secs_f64()),
        "concurrency_key": envelope.concurrency.as_ref().map(|concurrency| &concurrency.key),
        "concurrency_limit": envelope.concurrency.as_ref().map(|concurrency| concurrency.limit),
    });
    if let Some(call) = &envelope.recipe {
        all["recipe"] = json!(call.name);
        all["parameters"] = json!(call.parameters);
        let repeat = call.repeat.as_ref();
        all["repeat"] = repeat.map_or(
            Value::Null,
            |repeat| json!({"until": repeat.until, "at_most": repeat.at_most}),
        );
    }
    for (parameter, value) in envelope.params.values() {
        all[parameter.as_str()] = value;
    }
    match envelope.not_before {
        Some(NotBefore::Delay(delay)) => all["delay"] = json!(delay.as_secs_f64()),
        Some(NotBefore::At(at)) => all["run_at"] = json!(at.timestamp_millis()),
        None => {}
    }
    match &envelope.retry {
        Some(Retry::Policy(name)) => all["retry"] = json!(name),
        Some(Retry::Custom {
            max_retries,
            base_delay,
            max_delay,
        }) => {
            all["retry"] = json!({});
            if let Some(retries) = max_retries {
                all["retry"]["max_retries"] = json!(retries);
            }
            for (name, delay) in [("base_delay", base_delay), ("max_delay", max_delay)] {
                if let Some(delay) = delay {
                    all["retry"][name] = json!(delay.as_secs());
                }
            }
        }
        None => {}
    }
    let Value::Object(all) = all else {
        panic!("not an object")
    };
    all
}
