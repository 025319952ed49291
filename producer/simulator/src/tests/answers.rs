//! Answers and their bills.

use super::*;

#[tokio::test]
async fn each_dialect_counts_tokens_its_own_way() {
    let rig = Rig::start();
    let prompt = "[[tokens=100,50]] [[cached=30]] [[reasoning=20]] [[echo=hi \"you\"]]";
    let [(200, openai), (200, anthropic), (200, gemini)] = rig.each(prompt).await else {
        panic!("a call failed");
    };
    assert_eq!(openai["choices"][0]["message"]["content"], "hi \"you\"");
    assert_eq!(openai["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        openai["usage"],
        json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 20}})
    );
    assert_eq!(
        anthropic["content"],
        json!([{"type": "text", "text": "hi \"you\""}])
    );
    assert_eq!(anthropic["stop_reason"], "end_turn");
    assert_eq!(anthropic["usage"]["input_tokens"], 70);
    assert_eq!(anthropic["usage"]["cache_read_input_tokens"], 30);
    assert_eq!(anthropic["usage"]["output_tokens"], 50);
    assert_eq!(
        gemini["candidates"][0]["content"]["parts"][0]["text"],
        "hi \"you\""
    );
    assert_eq!(gemini["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        gemini["usageMetadata"],
        json!({"promptTokenCount": 100, "cachedContentTokenCount": 30,
            "candidatesTokenCount": 30, "thoughtsTokenCount": 20, "totalTokenCount": 150})
    );

    let costs: Vec<_> = rig
        .simulator
        .invoice()
        .into_iter()
        .map(|bill| bill.cost_usd)
        .collect();
    // 70 fresh, 30 cached and 50 output tokens at each model's prices.
    assert_eq!(costs, ["0.00004275", "0.000323", "0.0001469"]);
    assert_eq!(rig.simulator.total_usd(), "0.00051265");
}

#[tokio::test]
async fn the_invoice_lists_every_call_and_can_be_paged() {
    let rig = Rig::start();
    let first = rig
        .openai("one")
        .header("idempotency-key", "a1")
        .send()
        .await
        .unwrap();
    assert!(header(&first, "x-request-id").starts_with("req_"));
    read(first).await;
    rig.openai("two")
        .header("Idempotency-Key", "a2")
        .send()
        .await
        .unwrap();
    rig.gemini("three").send().await.unwrap();

    let whole = rig.get("/invoice").await;
    assert_eq!((&whole["count"], &whole["next"]), (&json!(3), &Value::Null));
    let bills: Vec<Bill> = serde_json::from_value(whole["bills"].clone()).unwrap();
    let ids: Vec<_> = bills.iter().map(|bill| bill.attempt_id.as_str()).collect();
    assert_eq!(ids, ["a1", "a2", ""]);
    assert!(
        bills
            .iter()
            .all(|bill| bill.answered && bill.billed_at_ms > 1_700_000_000_000)
    );
    assert_eq!(whole["total_usd"], rig.simulator.total_usd());

    let page = rig.get("/invoice?since=1&limit=1").await;
    assert_eq!(page["bills"][0]["attempt_id"], "a2");
    assert_eq!(page["next"], 2);
    assert!(
        rig.get("/invoice?from=1").await["error"]
            .as_str()
            .unwrap()
            .contains("from")
    );

    let stats: Stats = serde_json::from_value(rig.get("/stats").await).unwrap();
    assert_eq!((stats.requests, stats.billed, stats.in_flight), (3, 3, 0));
    assert_eq!(stats.by_provider["openai"].by_status[&200], 2);

    assert_eq!(
        rig.post("/reset").send().await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(rig.simulator.total_usd(), "0");
    assert_eq!(rig.simulator.stats().requests, 0);
    assert_eq!(rig.get("/health").await["status"], "ok");
}

#[tokio::test]
async fn answers_come_in_every_bad_form() {
    let rig = Rig::start();
    let garbage = rig.openai("[[garbage]]").send().await.unwrap();
    assert_eq!(garbage.status(), 200);
    assert!(garbage.json::<Value>().await.is_err());
    let [(200, openai), (200, anthropic), (200, gemini)] = rig.each("[[empty]]").await else {
        panic!("a call failed");
    };
    assert_eq!(
        (&openai["choices"], &anthropic["content"]),
        (&json!([]), &json!([]))
    );
    assert!(gemini.get("candidates").is_none());
    let [(_, openai), (_, anthropic), (_, gemini)] = rig.each("[[length]] long").await;
    assert_eq!(openai["choices"][0]["finish_reason"], "length");
    assert_eq!(anthropic["stop_reason"], "max_tokens");
    assert_eq!(gemini["candidates"][0]["finishReason"], "MAX_TOKENS");
    let [(_, openai), (_, anthropic), (_, gemini)] = rig.each("[[refuse]]").await;
    assert_eq!(openai["choices"][0]["finish_reason"], "content_filter");
    assert!(openai["choices"][0]["message"]["refusal"].is_string());
    assert_eq!(anthropic["stop_reason"], "refusal");
    assert_eq!(gemini["candidates"][0]["finishReason"], "SAFETY");
    let (_, gemini) = read(rig.gemini("[[refuse=prompt]]").send().await.unwrap()).await;
    assert_eq!(gemini["promptFeedback"]["blockReason"], "SAFETY");
    assert_eq!(rig.simulator.invoice().len(), 11);
}

/// The text of the answers of the three dialects.
fn texts(openai: &Value, anthropic: &Value, gemini: &Value) -> [Value; 3] {
    let json = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
    [
        json(&openai["choices"][0]["message"]["content"]),
        json(&anthropic["content"][0]["text"]),
        json(&gemini["candidates"][0]["content"]["parts"][0]["text"]),
    ]
}

#[tokio::test]
async fn an_answer_is_json_where_the_call_asks_for_json() {
    let rig = Rig::start();
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let hello = json!([{"role": "user", "content": "hi"}]);
    let named = json!({"type": "json_schema", "json_schema": {"name": "o", "schema": schema}});
    let formats = [
        (
            named,
            json!({"type": "json_schema", "schema": schema}),
            json!({"responseMimeType": "application/json", "responseJsonSchema": schema}),
            json!({"n": 1}),
        ),
        (
            json!({"type": "json_object"}),
            json!({}),
            json!({"responseMimeType": "application/json"}),
            json!({"answer": "simulated text 1"}),
        ),
    ];
    for (openai, anthropic, gemini, expected) in formats {
        let body = json!({"model": OPENAI, "messages": hello, "response_format": openai});
        let (_, openai) = read(rig.openai("").json(&body).send().await.unwrap()).await;
        let body = json!({"model": ANTHROPIC, "max_tokens": 1000, "messages": hello,
            "output_config": {"format": anthropic}});
        let (_, anthropic) = read(rig.anthropic("").json(&body).send().await.unwrap()).await;
        let body = json!({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": gemini});
        let (_, gemini) = read(rig.gemini("").json(&body).send().await.unwrap()).await;
        for answer in texts(&openai, &anthropic, &gemini) {
            assert_eq!(answer, expected);
        }
    }
}

#[tokio::test]
async fn an_answer_is_json_where_the_prompt_asks_for_json() {
    let rig = Rig::start();
    let prompt = r#"Name three cities. Answer with JSON only: {"cities": ["..."]}."#;
    let [(200, openai), (200, anthropic), (200, gemini)] = rig.each(prompt).await else {
        panic!("a call failed");
    };
    for answer in texts(&openai, &anthropic, &gemini) {
        assert_eq!(answer["cities"].as_array().map(Vec::len), Some(3));
    }
}
