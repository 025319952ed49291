//! Scripts: which rule decides, what each response does in every dialect, and what is said of it afterwards.

use super::*;

fn scripted(script: &str) -> Rig {
    let rig = Rig::start();
    let script = Script::read(std::path::Path::new("script.yaml"), script);
    rig.simulator.set_script(script.unwrap());
    rig
}

/// What a call answers, whatever the dialect.
fn text(answer: &Value) -> &str {
    let places = [
        "/choices/0/message/content",
        "/content/0/text",
        "/candidates/0/content/parts/0/text",
    ];
    let found = places
        .iter()
        .find_map(|place| answer.pointer(place)?.as_str());
    found.unwrap_or_else(|| panic!("no text: {answer}"))
}

async fn texts(rig: &Rig, prompt: &str) -> Vec<String> {
    let answers = rig.each(prompt).await;
    let texts = answers.iter().map(|(status, answer)| {
        assert_eq!(*status, 200, "{answer}");
        text(answer).to_owned()
    });
    texts.collect()
}

async fn statuses(rig: &Rig, prompt: &str) -> [u16; 3] {
    rig.each(prompt).await.map(|(status, _)| status)
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let rig = scripted(
        r"
rules:
  - {name: both, when: {prompt_contains: [tide, moon]}, then: {answer: both}}
  - {name: one, when: {prompt_contains: tide}, then: {answer: one}}
  - {name: pattern, when: {prompt_matches: '^Order \d+$'}, then: {answer: pattern}}
  - {name: dialect, when: {dialect: gemini, prompt_contains: who}, then: {answer: Gemini}}
  - {name: model, when: {model: claude-haiku-4-5, prompt_contains: who}, then: {answer: Haiku}}
  - {name: provider, when: {provider: openai, prompt_contains: who}, then: {answer: OpenAI}}
",
    );
    assert_eq!(texts(&rig, "the tide and the moon").await, ["both"; 3]);
    assert_eq!(texts(&rig, "the tide").await, ["one"; 3]);
    assert_eq!(texts(&rig, "Order 17").await, ["pattern"; 3]);
    assert_eq!(texts(&rig, "who?").await, ["OpenAI", "Haiku", "Gemini"]);
    assert!(texts(&rig, "Order x").await[0].starts_with("You asked"));

    let report = rig.simulator.script();
    let calls: Vec<_> = report
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule.calls))
        .collect();
    let expected = [
        ("both", 3),
        ("one", 3),
        ("pattern", 3),
        ("dialect", 1),
        ("model", 1),
        ("provider", 1),
    ];
    assert_eq!(calls, expected);
    assert_eq!(report.unmatched.prompts, ["Order x"; 3]);
    assert_eq!(
        rig.get("/script").await,
        serde_json::to_value(&report).unwrap()
    );
}

#[tokio::test]
async fn responses_follow_one_another() {
    let rig = scripted(
        "
rules:
  - name: in turn
    when: {prompt_contains: turn}
    then:
      - {status: 429, retry_after: 1500ms, times: 2}
      - {answer: at last, times: 1}
  - {name: rest, then: {answer: rest}}
",
    );
    let first = rig.openai("turn").send().await.unwrap();
    assert_eq!(first.status(), 429);
    assert_eq!(
        (
            header(&first, "retry-after"),
            header(&first, "retry-after-ms")
        ),
        ("2".into(), "1500".into())
    );
    let [second, third, fourth] = rig.each("another turn").await;
    assert_eq!((second.0, third.0), (429, 200));
    assert_eq!((text(&third.1), text(&fourth.1)), ("at last", "rest"));

    // A reset begins again.
    rig.post("/reset").send().await.unwrap();
    assert_eq!(statuses(&rig, "turn").await, [429, 429, 200]);
}

#[tokio::test]
async fn each_prompt_may_have_its_own_place_in_the_sequence() {
    let rig =
        scripted("rules: [{per_prompt: true, then: [{status: 503, times: 1}, {answer: done}]}]");
    for prompt in ["a", "b"] {
        assert_eq!(statuses(&rig, prompt).await, [503, 200, 200], "{prompt}");
    }
    assert_eq!(rig.simulator.script().rules[0].calls, 6);
}

#[tokio::test]
async fn a_call_without_a_rule_can_be_refused() {
    let rig = scripted("unmatched: refuse\nrules: [{when: {model: other}, then: {}}]");
    for (status, body) in rig.each("Who are you?").await {
        assert_eq!(status, 400);
        let said = body.to_string();
        assert!(
            said.contains("has no rule") && said.contains("Who are you?"),
            "{said}"
        );
    }
    assert_eq!(rig.simulator.invoice(), []);
    assert_eq!(rig.simulator.script().unmatched.calls, 3);
}

#[tokio::test]
async fn a_response_sets_answer_usage_and_latency() {
    let rig = scripted(
        "
rules:
  - when: {prompt_contains: score}
    then:
      answer: {score: 7, tags: [a, b]}
      usage: {input: 1000, output: 200, cached: 300, reasoning: 50}
      latency: 120ms
  - {then: {latency: 1ms}}
",
    );
    let began = Instant::now();
    assert_eq!(
        texts(&rig, "score it [[status=500]]").await,
        [r#"{"score":7,"tags":["a","b"]}"#; 3]
    );
    assert!(began.elapsed() >= Duration::from_millis(360));
    for bill in rig.simulator.invoice() {
        let counts = (
            bill.input_tokens,
            bill.output_tokens,
            bill.cached_tokens,
            bill.reasoning_tokens,
        );
        assert_eq!(counts, (1000, 200, 300, 50));
    }
    // A response that decides nothing leaves what the prompt's markers say.
    assert_eq!(statuses(&rig, "[[status=500]]").await, [500; 3]);
}

#[tokio::test]
async fn every_fault_has_the_form_of_its_dialect() {
    for (fault, expected) in [
        ("context", [400, 400, 400]),
        ("quota", [429, 400, 429]),
        ("refuse", [200; 3]),
        ("refuse_prompt", [200; 3]),
        ("length", [200; 3]),
        ("empty", [200; 3]),
    ] {
        let rig = scripted(&format!("rules: [{{then: {{fault: {fault}}}}}]"));
        let by_script = rig.each("say something long enough").await;
        assert_eq!(
            by_script.each_ref().map(|(status, _)| *status),
            expected,
            "{fault}"
        );
        let marker = fault.replace("refuse_prompt", "refuse=prompt");
        let by_marker = Rig::start()
            .each(&format!("say something long enough[[{marker}]]"))
            .await;
        let ends = |answers: &[(u16, Value); 3]| {
            let places = [
                "/choices/0/finish_reason",
                "/stop_reason",
                "/candidates/0/finishReason",
                "/promptFeedback/blockReason",
                "/error/code",
                "/error/type",
            ];
            let ends = answers
                .iter()
                .map(|(_, body)| places.map(|place| body.pointer(place).cloned()));
            ends.collect::<Vec<_>>()
        };
        assert_eq!(ends(&by_script), ends(&by_marker), "{fault}");
    }
    let rig = scripted("rules: [{then: {fault: drop}}]");
    assert!(rig.openai("x").send().await.unwrap_err().is_request());
    let rig = scripted("rules: [{then: {fault: garbage}}]");
    let garbage = rig.gemini("x").send().await.unwrap();
    assert!(garbage.json::<Value>().await.is_err());
}

#[tokio::test]
async fn an_outage_lasts_for_its_time() {
    let rig =
        scripted("rules: [{name: outage, when: {from: 0s, until: 300ms}, then: {status: 529}}]");
    assert_eq!(statuses(&rig, "x").await, [529; 3]);
    let began = Instant::now();
    while rig.openai("x").send().await.unwrap().status() == 529 {
        assert!(began.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(statuses(&rig, "x").await, [200; 3]);
}

/// A call with two tools in each dialect.
fn with_tools(rig: &Rig) -> [RequestBuilder; 3] {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let names = ["weather", "time"];
    let openai = names
        .map(|name| json!({"type": "function", "function": {"name": name, "parameters": schema}}));
    let anthropic = names.map(|name| json!({"name": name, "input_schema": schema}));
    let gemini = names.map(|name| json!({"name": name, "parametersJsonSchema": schema}));
    let asks = json!([{"role": "user", "content": "Is it late in Oslo?"}]);
    [
        rig.post("/openai/v1/chat/completions")
            .bearer_auth("k")
            .json(&json!({"model": OPENAI, "messages": asks, "tools": openai})),
        rig.post("/anthropic/v1/messages")
            .header("x-api-key", "k")
            .header("anthropic-version", "2023-06-01")
            .json(&json!({"model": ANTHROPIC, "max_tokens": 99, "messages": asks, "tools": anthropic})),
        rig.post(&format!("/gemini/v1beta/models/{GEMINI}:generateContent"))
            .header("x-goog-api-key", "k")
            .json(&json!({"contents": [{"parts": [{"text": "Is it late in Oslo?"}]}],
                "tools": [{"functionDeclarations": gemini}]})),
    ]
}

#[tokio::test]
async fn the_model_calls_the_tools_of_the_script() {
    let rig = scripted(
        "
rules:
  - when: {tool: weather}
    then:
      tool_calls:
        - {name: weather, arguments: {city: Oslo}}
        - {name: time}
  - {then: {tool_calls: [{name: unknown}]}}
",
    );
    let places = [
        [
            "/choices/0/message/tool_calls/0/function",
            "/choices/0/message/tool_calls/1/function",
        ],
        ["/content/0", "/content/1"],
        [
            "/candidates/0/content/parts/0/functionCall",
            "/candidates/0/content/parts/1/functionCall",
        ],
    ];
    let arguments = [
        json!(r#"{"city":"Oslo"}"#),
        json!({"city": "Oslo"}),
        json!({"city": "Oslo"}),
    ];
    let names = ["arguments", "input", "args"];
    for (((call, [first, second]), arguments), name) in with_tools(&rig)
        .into_iter()
        .zip(places)
        .zip(arguments)
        .zip(names)
    {
        let (status, answer) = read(call.send().await.unwrap()).await;
        assert_eq!(status, 200, "{answer}");
        let (first, second) = (
            answer.pointer(first).unwrap(),
            answer.pointer(second).unwrap(),
        );
        assert_eq!(
            (&first["name"], &second["name"]),
            (&json!("weather"), &json!("time"))
        );
        assert_eq!(first[name], arguments);
    }
    // The model of a real provider calls no tool that it was not offered.
    let (status, body) = read(rig.openai("no tools").send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(
        body.to_string()
            .contains("calls the tool `unknown`, which the request does not offer")
    );
}

#[tokio::test]
async fn a_script_is_replaced_while_the_simulator_runs() {
    let rig = Rig::start();
    assert_eq!(
        rig.get("/script").await,
        json!({"rules": [], "unmatched": {"calls": 0, "prompts": []}})
    );
    let post = async |script: &'static str| {
        read(rig.post("/script").body(script).send().await.unwrap()).await
    };
    let (status, report) = post("rules: [{name: a, then: {answer: one}}]").await;
    assert_eq!((status, &report["rules"][0]["name"]), (200, &json!("a")));
    assert_eq!(texts(&rig, "x").await, ["one"; 3]);
    let (status, refused) = post("rules: [{then: {staus: 500}}, {}]").await;
    assert_eq!(status, 400);
    assert_eq!(
        refused["error"],
        "script:1: `rules.then.staus` is not a field; did you mean `status`?\n\
         script:1: this rule is never reached: `rule 1` is for all calls; put it before that one\n\
         script:1: this rule has no `then`; expected a response, such as `then: {answer: Hello}`"
    );
    assert_eq!(texts(&rig, "x").await, ["one"; 3], "the one before stays");

    let kept = rig.simulator.requests();
    assert_eq!(kept.len(), 6);
    assert_eq!(kept[0].rule.as_deref(), Some("a"));
    assert_eq!(kept[0].body["messages"][0]["content"], "x");
}
