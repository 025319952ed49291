//! Calls of tools, and requests that are kept.

use super::*;

fn bodies(prompt: &str, forced: bool) -> [Value; 3] {
    let schema =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"const": "Oslo"}}});
    let function = json!({"name": "weather", "parameters": schema});
    let mut openai = json!({"model": OPENAI, "messages": [{"role": "user", "content": prompt}],
        "tools": [{"type": "function", "function": function}]});
    let mut anthropic = json!({"model": ANTHROPIC, "max_tokens": 1000, "messages": [{"role": "user", "content": prompt}],
        "tools": [{"name": "weather", "input_schema": schema}]});
    let mut gemini = json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}],
        "tools": [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": schema}]}]});
    if forced {
        openai["tool_choice"] = json!("required");
        anthropic["tool_choice"] = json!({"type": "any"});
        gemini["toolConfig"] = json!({"functionCallingConfig": {"mode": "ANY"}});
    }
    [openai, anthropic, gemini]
}

async fn answers(rig: &Rig, [openai, anthropic, gemini]: [Value; 3]) -> [Value; 3] {
    let send = async |request: RequestBuilder, body: Value| {
        let (status, answer) = read(request.json(&body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    [
        send(rig.openai(""), openai).await["choices"][0].take(),
        send(rig.anthropic(""), anthropic).await,
        send(rig.gemini(""), gemini).await["candidates"][0].take(),
    ]
}

#[tokio::test]
async fn a_model_calls_a_tool_if_it_is_told_to() {
    let rig = Rig::start();
    for bodies in [bodies("[[call]] hello", false), bodies("hello", true)] {
        let [openai, anthropic, gemini] = answers(&rig, bodies).await;
        assert_eq!(openai["finish_reason"], "tool_calls");
        let function = &openai["message"]["tool_calls"][0]["function"];
        assert_eq!(
            *function,
            json!({"name": "weather", "arguments": r#"{"city":"Oslo"}"#})
        );
        assert_eq!(anthropic["stop_reason"], "tool_use");
        assert_eq!(anthropic["content"][0]["input"], json!({"city": "Oslo"}));
        let call = &gemini["content"]["parts"][0]["functionCall"];
        assert_eq!(*call, json!({"name": "weather", "args": {"city": "Oslo"}}));
    }
    let [openai, anthropic, gemini] = answers(&rig, bodies("hello", false)).await;
    assert_eq!(openai["finish_reason"], "stop");
    assert_eq!(anthropic["stop_reason"], "end_turn");
    assert!(gemini["content"]["parts"][0]["text"].is_string());
}

#[tokio::test]
async fn a_model_answers_after_the_result_of_a_tool() {
    let rig = Rig::start();
    let [mut openai, mut anthropic, mut gemini] = bodies("[[call]] hello", true);
    let push = |list: &mut Value, message: Value| list.as_array_mut().unwrap().push(message);
    push(
        &mut openai["messages"],
        json!({"role": "tool", "tool_call_id": "c", "content": "sunny"}),
    );
    push(
        &mut anthropic["messages"],
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "sunny"}]}),
    );
    push(
        &mut gemini["contents"],
        json!({"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"a": 1}}}]}),
    );
    let [openai, anthropic, gemini] = answers(&rig, [openai, anthropic, gemini]).await;
    assert_eq!(openai["finish_reason"], "stop");
    assert_eq!(anthropic["stop_reason"], "end_turn");
    assert!(gemini["content"]["parts"][0]["text"].is_string());
}

#[tokio::test]
async fn requests_are_kept_if_their_prompt_says_so() {
    let rig = Rig::start();
    rig.each("forget this").await;
    let body = json!({"model": OPENAI, "messages": [{"role": "user", "content": "[[keep]] x"}], "top_p": 0.5,
        "logprobs": true});
    let (_, answer) = read(rig.openai("").json(&body).send().await.unwrap()).await;
    assert_eq!(
        answer["choices"][0]["logprobs"]["content"][0]["token"],
        "You"
    );
    assert_eq!(
        rig.get("/requests").await,
        json!([{"provider": "openai", "model": OPENAI, "attempt_id": "", "rule": null, "body": body}])
    );
    rig.simulator.reset();
    assert!(rig.simulator.requests().is_empty());
}
