//! Providers by name, each with limits of its own.

use super::*;

/// A call to the provider of this name, in the dialect of OpenAI.
fn call(rig: &Rig, provider: &str) -> RequestBuilder {
    let body = json!({"model": OPENAI, "messages": [{"role": "user", "content": "hi"}]});
    rig.post(&format!("/p/{provider}/openai/v1/chat/completions"))
        .bearer_auth("k")
        .json(&body)
}

async fn limits(rig: &Rig, limits: &Value) -> (u16, Value) {
    read(rig.post("/limits").json(limits).send().await.unwrap()).await
}

async fn status(call: RequestBuilder) -> u16 {
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_limit_per_minute_is_strict_and_says_so() {
    let rig = Rig::start();
    limits(&rig, &json!({"provider": "a", "requests_per_minute": 3})).await;
    let calls = futures::future::join_all((0..10).map(|_| call(&rig, "a").send())).await;
    let (passed, refused): (Vec<_>, Vec<_>) = calls
        .into_iter()
        .map(Result::unwrap)
        .partition(|call| call.status() == 200);
    assert_eq!((passed.len(), refused.len()), (3, 7));
    let mut left: Vec<_> = passed
        .iter()
        .map(|call| header(call, "x-ratelimit-remaining-requests"))
        .collect();
    left.sort();
    assert_eq!(left, ["0", "1", "2"]);
    assert_eq!(header(&refused[0], "x-ratelimit-limit-requests"), "3");
    assert_eq!(header(&refused[0], "x-ratelimit-remaining-requests"), "0");
    let wait: u64 = header(&refused[0], "retry-after").parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
    // No other provider rejects calls.
    assert_eq!(status(call(&rig, "b")).await, 200);
    assert_eq!(status(rig.openai("hi")).await, 200);

    let stats = rig.simulator.stats();
    assert_eq!((stats.billed, stats.limited), (5, 7));
    let a = &stats.by_provider["a"];
    assert_eq!((a.requests, a.billed, a.limited), (10, 3, 7));
    assert_eq!((a.most_in_a_minute, a.in_flight), (3, 0));
    assert_eq!(
        a.billed_usd, "0.00002745",
        "3 × (1 × 0.15 + 15 × 0.6) millionths"
    );
    let bills = rig.simulator.invoice();
    assert_eq!(bills.iter().filter(|bill| bill.provider == "a").count(), 3);
    let calls = rig.get("/calls?provider=a&since=1&limit=2").await;
    assert_eq!((&calls["count"], &calls["next"]), (&json!(10), &json!(3)));
    assert_eq!(rig.simulator.calls("a").len(), 10);
}

#[tokio::test]
async fn each_dialect_has_its_own_words_for_a_full_minute() {
    let rig = Rig::with(Settings {
        limits: Limits {
            tokens_per_minute: Some(0),
            ..Limits::default()
        },
        ..Settings::default()
    });
    let openai = rig.openai("hi").send().await.unwrap();
    assert_eq!(header(&openai, "x-ratelimit-limit-tokens"), "0");
    let (429, openai) = read(openai).await else {
        panic!("let through")
    };
    assert_eq!(openai["error"]["type"], "tokens");
    assert_eq!(openai["error"]["code"], "rate_limit_exceeded");
    let anthropic = rig.anthropic("hi").send().await.unwrap();
    assert_eq!(anthropic.status(), 429);
    assert_eq!(header(&anthropic, "retry-after"), "60");
    let reset = header(&anthropic, "anthropic-ratelimit-tokens-reset");
    assert!(reset.ends_with('Z'), "{reset}");
    let (429, gemini) = read(rig.gemini("hi").send().await.unwrap()).await else {
        panic!("let through")
    };
    let details = &gemini["error"]["details"];
    let quota = details[0]["violations"][0]["quotaId"].as_str().unwrap();
    assert!(quota.contains("TokensPerMinute"), "{quota}");
    assert_eq!(details[1]["retryDelay"], "60s");
}

#[tokio::test]
async fn each_dialect_has_its_own_words_for_a_spent_day() {
    let rig = Rig::start();
    let (200, all) = limits(&rig, &json!({"requests_per_day": 1})).await else {
        panic!("refused")
    };
    assert_eq!(all["gemini"]["requests_per_day"], 1);
    let first = rig.each("hi").await;
    assert!(first.iter().all(|(status, _)| *status == 200));
    let [(429, openai), (400, anthropic), (429, gemini)] = rig.each("hi").await else {
        panic!("let through")
    };
    assert_eq!(openai["error"]["code"], "insufficient_quota");
    let said = anthropic["error"]["message"].as_str().unwrap();
    assert!(said.contains("credit balance is too low"), "{said}");
    let violation = &gemini["error"]["details"][0]["violations"][0];
    assert!(violation["quotaId"].as_str().unwrap().contains("PerDay"));
    assert_eq!(violation["quotaValue"], "1");
    // A provider that did not exist has the limit as well; a reset removes it.
    assert_eq!(status(call(&rig, "new")).await, 200);
    assert_eq!(status(call(&rig, "new")).await, 429);
    rig.simulator.reset();
    assert_eq!(status(call(&rig, "new")).await, 200);
    assert_eq!(status(call(&rig, "new")).await, 200);
}

#[tokio::test]
async fn an_outage_is_of_one_provider_and_ends_by_itself() {
    let rig = Rig::start();
    rig.faults(&json!({"provider": "a", "rate_503": 1, "for_ms": 300}))
        .await;
    assert_eq!(status(call(&rig, "a")).await, 503);
    assert_eq!(status(call(&rig, "b")).await, 200);
    let start = Instant::now();
    while status(call(&rig, "a")).await != 200 {
        assert!(start.elapsed() < Duration::from_secs(5), "it does not end");
        sleep(Duration::from_millis(10)).await;
    }
    let fates: Vec<_> = rig
        .simulator
        .calls("a")
        .iter()
        .map(|one| one.fate)
        .collect();
    assert_eq!(fates.first(), Some(&Fate::Failed));
    assert_eq!(fates.last(), Some(&Fate::Served));
    assert_eq!(rig.get("/faults").await["a"]["rate_503"], 0.0);
}

#[tokio::test]
async fn what_is_wrong_with_a_limit_or_a_question_is_said() {
    let rig = Rig::start();
    for (wrong, names) in [
        (json!({"rpm": 5}), "rpm"),
        (json!({"requests_per_minute": -1}), "-1"),
        (json!({"reset_at": "25:00"}), "out of range"),
    ] {
        let (status, body) = limits(&rig, &wrong).await;
        let said = body["error"].as_str().unwrap();
        assert!(status == 400 && said.contains(names), "{wrong}: {said}");
    }
    for (path, names) in [
        ("/calls", "name a provider"),
        ("/calls?provider=nobody", "nobody"),
        ("/invoice?provider=a", "provider"),
    ] {
        let answer = rig.get(path).await;
        assert!(answer["error"].as_str().unwrap().contains(names), "{path}");
    }
}
