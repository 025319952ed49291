//! Errors, which are not billed.

use super::*;

#[tokio::test]
async fn errors_take_the_form_of_their_dialect() {
    let rig = Rig::start();
    for status in [400, 401, 402, 403, 404, 408, 429, 500, 503, 529] {
        let answers = rig.each(&format!("[[status={status}]]")).await;
        let [(_, openai), (_, anthropic), (_, gemini)] = &answers;
        assert!(answers.iter().all(|(got, _)| *got == status));
        assert!(openai["error"]["type"].is_string() && openai["error"]["message"].is_string());
        assert_eq!(anthropic["type"], "error");
        assert!(anthropic["error"]["type"].is_string() && anthropic["request_id"].is_string());
        assert_eq!(gemini["error"]["code"], status);
    }
    let [(_, openai), (_, anthropic), (_, gemini)] = rig.each("[[status=429]]").await;
    assert_eq!(openai["error"]["code"], "rate_limit_exceeded");
    assert_eq!(anthropic["error"]["type"], "rate_limit_error");
    assert_eq!(gemini["error"]["status"], "RESOURCE_EXHAUSTED");

    let answers = rig.each("[[quota]]").await;
    assert_eq!(
        answers.each_ref().map(|(status, _)| *status),
        [429, 400, 429]
    );
    let [(_, openai), (_, anthropic), (_, gemini)] = answers;
    assert_eq!(openai["error"]["code"], "insufficient_quota");
    assert!(
        anthropic["error"]["message"]
            .as_str()
            .unwrap()
            .contains("credit balance is too low")
    );
    let quota = &gemini["error"]["details"][0]["violations"][0]["quotaId"];
    assert!(quota.as_str().unwrap().contains("PerDay"));

    let answers = rig.each("[[context]]").await;
    assert!(answers.iter().all(|(status, _)| *status == 400));
    assert_eq!(answers[0].1["error"]["code"], "context_length_exceeded");
    assert!(
        answers[1].1["error"]["message"]
            .as_str()
            .unwrap()
            .contains("prompt is too long")
    );
    assert!(
        answers[2].1["error"]["message"]
            .as_str()
            .unwrap()
            .contains("exceeds the maximum")
    );
    assert_eq!(rig.simulator.invoice(), []);
}

#[tokio::test]
async fn the_wait_is_told_where_the_dialect_tells_it() {
    let rig = Rig::start();
    let prompt = "[[status=429]] [[retry_after=1.5]]";
    let openai = rig.openai(prompt).send().await.unwrap();
    assert_eq!(header(&openai, "retry-after-ms"), "1500");
    assert_eq!(header(&openai, "retry-after"), "2");
    let anthropic = rig.anthropic(prompt).send().await.unwrap();
    assert_eq!(header(&anthropic, "retry-after"), "2");
    let (_, gemini) = read(rig.gemini(prompt).send().await.unwrap()).await;
    assert_eq!(gemini["error"]["details"][1]["retryDelay"], "1.5s");
}

#[tokio::test]
async fn nonsense_is_refused_and_costs_nothing() {
    let rig = Rig::start();
    let post = |path: &str| rig.post(path);
    let chat = "/openai/v1/chat/completions";
    let messages = "/anthropic/v1/messages";
    let generate = "/gemini/v1beta/models/gemini-2.5-flash:generateContent";
    let keyed = |path: &str| {
        let post = post(path).bearer_auth("k").header("x-api-key", "k");
        post.header("x-goog-api-key", "k")
            .header("anthropic-version", "2023-06-01")
    };
    let hello = json!([{"role": "user", "content": "hi"}]);
    for (request, status) in [
        (post(chat), 401),
        (post(messages), 401),
        (post(generate), 401),
        (post(messages).header("x-api-key", "k"), 400),
        (keyed(chat).body("{"), 400),
        (keyed(messages).body("[]"), 400),
        (keyed(generate).body(""), 400),
        (keyed(chat).json(&json!({"messages": hello})), 400),
        (keyed(chat).json(&json!({"model": OPENAI})), 400),
        (
            keyed(chat).json(&json!({"model": OPENAI, "messages": []})),
            400,
        ),
        (
            keyed(chat).json(&json!({"model": OPENAI, "messages": ["hi"]})),
            400,
        ),
        (
            keyed(chat).json(&json!({"model": OPENAI, "messages": hello, "stream": true})),
            400,
        ),
        (
            keyed(messages).json(&json!({"model": ANTHROPIC, "messages": hello})),
            400,
        ),
        (
            keyed(messages).json(&json!({"model": ANTHROPIC, "max_tokens": 1, "messages": []})),
            400,
        ),
        (keyed(generate).json(&json!({"contents": []})), 400),
        (
            keyed(chat).json(&json!({"model": "gpt-0", "messages": hello})),
            404,
        ),
        (
            keyed(chat).json(&json!({"model": ANTHROPIC, "messages": hello})),
            404,
        ),
        (
            keyed(messages).json(&json!({"model": OPENAI, "max_tokens": 1, "messages": hello})),
            404,
        ),
        (
            keyed("/gemini/v1beta/models/x:generateContent")
                .json(&json!({"contents": [{"parts": [{}]}]})),
            404,
        ),
        (post("/gemini/models/gemini-2.5-flash:generateContent"), 404),
        (
            rig.client.get(format!("{}{chat}", rig.simulator.url())),
            405,
        ),
    ] {
        let request = request.build().unwrap();
        let what = format!("{} {:?}", request.url(), request.body());
        let (got, body) = read(rig.client.execute(request).await.unwrap()).await;
        assert_eq!(got, status, "{what}");
        assert!(!body["error"].is_null(), "{what}");
    }
    assert_eq!(rig.simulator.invoice(), []);
    assert_eq!(rig.simulator.stats().billed, 0);
}

#[tokio::test]
async fn the_first_calls_fail_and_the_next_succeeds() {
    let rig = Rig::start();
    let prompt = "[[fail_first=2:503]] please";
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(rig.openai(prompt).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [503, 503, 200]);
    // Another prompt counts for itself, and a reset starts over.
    assert_eq!(
        rig.openai("[[fail_first=1:429]] other")
            .send()
            .await
            .unwrap()
            .status(),
        429
    );
    rig.simulator.reset();
    assert_eq!(rig.openai(prompt).send().await.unwrap().status(), 503);
}
