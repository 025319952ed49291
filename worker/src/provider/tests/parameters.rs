//! No parameter is dropped silently: each is in the request, or refused, or left out with a warning.

use longshore_policy::{
    catalog::{
        Billing, DialectName, Enabled, ModelEntry, PriceBook, ProviderEntry, Rates, Service,
    },
    limits::AccountLimits,
    parameters::{Asked, is_hint},
};
use longshore_protocol::{
    call::{
        Call, Content, ImageSource, InlineData, Parameter, Part, ReasoningEffort, Role, Tool,
        ToolCall, ToolChoice, asked_for, leave_out,
    },
    envelope::{MessageLimits, RawMessage, parse},
    platform::{Capability, PlatformName, Tier},
};
use serde_json::{Map, Value, json};

use super::{call, message};
use crate::provider::{
    anthropic::Anthropic,
    cli::prompt_text,
    dialect::{Dialect, add_options},
    gemini::Gemini,
    ollama::Ollama,
    openai::OpenAi,
};

/// The request of a service for a call.
fn request(service: Service, call: &Call) -> Value {
    let dialect: Box<dyn Dialect> = match service {
        Service::OpenAi
        | Service::Xai
        | Service::OpenRouter
        | Service::DeepSeek
        | Service::Moonshot
        | Service::Zhipu
        | Service::MiniMax
        | Service::Other => Box::new(OpenAi(service)),
        Service::Anthropic => Box::new(Anthropic),
        Service::Gemini => Box::new(Gemini),
        Service::Ollama => Box::new(Ollama),
        Service::Cli => return json!(prompt_text(call)),
    };
    let mut body = dialect.encode(call);
    add_options(&mut body, &call.options);
    body
}

fn provider(service: Service) -> ProviderEntry {
    let (name, dialect, host) = match service {
        Service::OpenAi => ("openai", DialectName::OpenAi, "api.openai.com"),
        Service::Xai => ("xai", DialectName::OpenAi, "x"),
        Service::OpenRouter => ("openrouter", DialectName::OpenAi, "x"),
        Service::DeepSeek => ("deepseek", DialectName::OpenAi, "x"),
        Service::Moonshot => ("moonshot", DialectName::OpenAi, "x"),
        Service::Zhipu => ("zhipu", DialectName::OpenAi, "x"),
        Service::MiniMax => ("minimax", DialectName::OpenAi, "x"),
        Service::Other => ("other", DialectName::OpenAi, "x"),
        Service::Anthropic => ("anthropic", DialectName::Anthropic, "x"),
        Service::Gemini => ("gemini", DialectName::Gemini, "x"),
        Service::Ollama => ("ollama", DialectName::Ollama, "x"),
        Service::Cli => ("cli", DialectName::Cli, "x"),
    };
    ProviderEntry {
        name: PlatformName::from_stored(name),
        dialect,
        base_url: format!("https://{host}/").parse().unwrap(),
        key: None,
        default_model: "m".to_owned(),
        enabled: Enabled::On,
        key_variable: None,
        billing: Billing::Paid,
        cost_from: longshore_policy::catalog::CostSource::Prices,
        local: false,
        timeout: None,
        pace: None,
        account: PlatformName::from_stored(name),
        limits: AccountLimits::default(),
        command: Vec::new(),
        env: Vec::new(),
    }
}

fn model(capabilities: Option<&[Capability]>) -> ModelEntry {
    ModelEntry {
        provider: PlatformName::from_stored("p"),
        model: "some-model".to_owned(),
        tier: Tier::Fast,
        capabilities: capabilities.unwrap_or_default().to_vec(),
        untold: capabilities.is_none(),
        context_window: 100_000,
        max_output_tokens: 10_000,
        withdrawn: None,
        prices: PriceBook::new(Rates::FREE.into(), Vec::new()),
    }
}

fn tool() -> Tool {
    Tool {
        name: "weather".to_owned(),
        description: Some("The weather of a city".to_owned()),
        parameters: Some(json!({"type": "object", "properties": {"city": {"type": "string"}}})),
        strict: None,
    }
}

fn png() -> InlineData {
    InlineData {
        media_type: "image/png".to_owned(),
        base64: "iVBORw0K".to_owned(),
    }
}

fn with_part(call: &mut Call, part: Part) {
    let question = Part::Text("What is this?".to_owned());
    call.messages[0].content = Content::Parts(vec![question, part]);
}

/// A call without a parameter, and the same call with it.
fn without_and_with(parameter: Parameter, service: Service) -> (Call, Call) {
    let mut without = call();
    match parameter {
        Parameter::TopLogprobs => without.params.logprobs = Some(true),
        Parameter::ToolChoice | Parameter::ParallelToolCalls | Parameter::StrictTools => {
            without.params.tools = vec![tool()];
        }
        Parameter::ImageDetail => with_part(&mut without, image(None)),
        _ => {}
    }
    let mut with = without.clone();
    let params = &mut with.params;
    match parameter {
        Parameter::MaxTokens => params.max_tokens = Some(77),
        Parameter::Temperature => params.temperature = Some(0.5),
        Parameter::ResponseFormat => {
            params.response_format = Some(
                json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}),
            );
        }
        Parameter::TopP => params.top_p = Some(0.5),
        Parameter::Seed => params.seed = Some(7),
        Parameter::Stop => params.stop = vec!["END".to_owned()],
        Parameter::FrequencyPenalty => params.frequency_penalty = Some(0.5),
        Parameter::PresencePenalty => params.presence_penalty = Some(0.5),
        Parameter::Logprobs => params.logprobs = Some(true),
        Parameter::TopLogprobs => params.top_logprobs = Some(3),
        Parameter::ReasoningEffort => params.reasoning_effort = Some(ReasoningEffort::High),
        Parameter::Tools => params.tools = vec![tool()],
        // Whoever forces no call can still forbid them.
        Parameter::ToolChoice => params.tool_choice = Some(ToolChoice::None),
        Parameter::ParallelToolCalls => params.parallel_tool_calls = Some(false),
        Parameter::ProviderOptions => {
            let options = json!({"x_option": 1});
            let name = provider(service).name.to_string();
            params.provider_options.insert(name.clone(), options);
            with.options = with.params.provider_options[&name]
                .as_object()
                .unwrap()
                .clone();
        }
        Parameter::ToolCalls => {
            let mut asked = message(Role::Assistant, "");
            asked.tool_calls = vec![ToolCall::new("c1", "weather", r#"{"city":"Oslo"}"#)];
            let mut result = message(Role::Tool, "sunny");
            result.tool_call_id = Some("c1".to_owned());
            with.messages.extend([asked, result]);
        }
        Parameter::Images => with_part(&mut with, image(None)),
        Parameter::Files => with_part(
            &mut with,
            Part::File {
                data: InlineData {
                    media_type: "application/pdf".to_owned(),
                    base64: "JVBERi0=".to_owned(),
                },
                filename: Some("a.pdf".to_owned()),
            },
        ),
        Parameter::Audio => with_part(
            &mut with,
            Part::Audio {
                format: "wav".to_owned(),
                base64: "UklGRg==".to_owned(),
            },
        ),
        Parameter::StrictTools => params.tools[0].strict = Some(true),
        Parameter::ImageDetail => with_part(&mut with, image(Some("low"))),
        Parameter::MessageFields => {
            with.messages[0]
                .extra
                .insert("name".to_owned(), json!("ann"));
        }
    }
    (without, with)
}

fn image(detail: Option<&str>) -> Part {
    Part::Image {
        source: ImageSource::Inline(png()),
        detail: detail.map(str::to_owned),
    }
}

#[test]
fn every_parameter_is_sent_or_refused_or_left_out_with_a_warning() {
    let model = model(None);
    for service in Service::ALL {
        let provider = provider(service);
        assert_eq!(Service::of(&provider), service);
        for parameter in Parameter::ALL.iter().copied() {
            let (without, with) = without_and_with(parameter, service);
            assert!(
                asked_for(&with.params, &with.messages).contains(&parameter),
                "{parameter}"
            );
            let asked = Asked::new(&with.params, &with.messages);
            let refused = asked.refused_by(&provider, &model);
            let left_out = asked.left_out_by(&provider, &model);
            let left_out = left_out.iter().find(|one| one.parameter == parameter);
            if service.takes(parameter) {
                assert_eq!((refused, left_out), (None, None), "{service:?} {parameter}");
                let (before, after) = (request(service, &without), request(service, &with));
                assert_ne!(before, after, "{service:?} drops {parameter}");
            } else if is_hint(parameter) {
                let warning = left_out.unwrap().to_string();
                assert!(warning.contains(parameter.as_str()), "{warning}");
            } else {
                let reason = refused.unwrap_or_else(|| panic!("{service:?} drops {parameter}"));
                assert!(reason.contains(parameter.as_str()), "{reason}");
            }
        }
    }
}

#[test]
fn what_is_left_out_is_not_sent() {
    let model = model(None);
    for service in Service::ALL {
        let provider = provider(service);
        for parameter in Parameter::ALL.iter().copied().filter(|one| is_hint(*one)) {
            let (mut without, mut with) = without_and_with(parameter, service);
            let asked = Asked::new(&with.params, &with.messages);
            let left_out = asked.left_out_by(&provider, &model);
            if left_out.is_empty() {
                continue;
            }
            for call in [&mut with, &mut without] {
                let left_out = left_out.iter().map(|left_out| left_out.parameter);
                leave_out(&mut call.params, &mut call.messages, left_out);
            }
            assert_eq!(
                request(service, &with),
                request(service, &without),
                "{service:?} {parameter}"
            );
        }
    }
}

#[test]
fn a_model_without_a_feature_is_refused_or_does_without() {
    let poor = model(Some(&[Capability::Code]));
    let able = [
        Capability::Tools,
        Capability::Vision,
        Capability::Files,
        Capability::Audio,
        Capability::Reasoning,
    ];
    let rich = model(Some(&able));
    let provider = provider(Service::Gemini);
    for (parameter, words) in [
        (
            Parameter::Tools,
            "it does not take `tools`: model some-model calls no tools",
        ),
        (
            Parameter::ToolCalls,
            "it does not take `tool_calls`: model some-model calls no tools",
        ),
        (
            Parameter::Images,
            "it does not take `image_url`: model some-model reads no images",
        ),
        (
            Parameter::Files,
            "it does not take `file`: model some-model reads no PDF files",
        ),
        (
            Parameter::Audio,
            "it does not take `input_audio`: model some-model hears no sound",
        ),
    ] {
        let (_, with) = without_and_with(parameter, Service::Gemini);
        let asked = Asked::new(&with.params, &with.messages);
        assert_eq!(asked.refused_by(&provider, &poor).as_deref(), Some(words));
        assert_eq!(asked.refused_by(&provider, &rich), None, "{parameter}");
    }
    let (_, with) = without_and_with(Parameter::ReasoningEffort, Service::Gemini);
    let asked = Asked::new(&with.params, &with.messages);
    let left_out: Vec<String> = asked
        .left_out_by(&provider, &poor)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        left_out,
        ["`reasoning_effort` was left out: model some-model does not think before it answers"]
    );
    assert!(asked.left_out_by(&provider, &rich).is_empty());
}

#[test]
fn values_that_a_service_does_not_take_are_refused_by_name() {
    let model = model(None);
    let refused = |service, change: &dyn Fn(&mut Call)| {
        let mut call = call();
        change(&mut call);
        Asked::new(&call.params, &call.messages).refused_by(&provider(service), &model)
    };
    let forced = |call: &mut Call| {
        call.params.tools = vec![tool()];
        call.params.tool_choice = Some(ToolChoice::Required);
    };
    let linked = |call: &mut Call| {
        let source = ImageSource::Url("https://example.com/a.png".to_owned());
        with_part(
            call,
            Part::Image {
                source,
                detail: None,
            },
        );
    };
    let hot = |call: &mut Call| call.params.temperature = Some(1.5);
    let stops = |call: &mut Call| call.params.stop = vec!["a".to_owned(), " ".to_owned()];
    for (service, change, words) in [
        (
            Service::Anthropic,
            &hot as &dyn Fn(&mut Call),
            Some("it takes a `temperature` of 1 at most, not 1.5"),
        ),
        (Service::OpenAi, &hot, None),
        (
            Service::Zhipu,
            &stops,
            Some("it takes one text of `stop`, not 2"),
        ),
        (
            Service::Anthropic,
            &stops,
            Some("it takes no `stop` of white space alone"),
        ),
        (Service::Gemini, &stops, None),
        (
            Service::Moonshot,
            &forced,
            Some("it takes no `tool_choice` that forces a call"),
        ),
        (Service::Anthropic, &forced, None),
        (
            Service::Ollama,
            &linked,
            Some("it takes `image_url` with data only, not with an address"),
        ),
        (Service::Gemini, &linked, None),
    ] {
        assert_eq!(refused(service, change).as_deref(), words, "{service:?}");
    }
}

#[test]
fn a_server_in_this_network_fetches_no_images_from_addresses() {
    let source = ImageSource::Url("http://10.0.0.1/metadata".to_owned());
    let mut call = call();
    with_part(
        &mut call,
        Part::Image {
            source,
            detail: None,
        },
    );
    let mut server = provider(Service::Other);
    let asked = Asked::new(&call.params, &call.messages);
    assert_eq!(asked.refused_by(&server, &model(None)), None);
    server.local = true;
    let refused = asked.refused_by(&server, &model(None)).unwrap();
    assert!(refused.contains("`image_url` with data only"), "{refused}");
}

#[test]
fn thinking_is_left_out_where_anthropic_does_not_take_it() {
    let anthropic = provider(Service::Anthropic);
    let mut old = model(None);
    old.model = "claude-haiku-4-5".to_owned();
    let mut new = model(None);
    new.model = "claude-opus-5-5".to_owned();
    let warned = |model: &ModelEntry, change: &dyn Fn(&mut Call)| {
        let mut call = call();
        call.params.reasoning_effort = Some(ReasoningEffort::High);
        change(&mut call);
        let left_out = Asked::new(&call.params, &call.messages).left_out_by(&anthropic, model);
        left_out.first().map(ToString::to_string)
    };
    let few = |call: &mut Call| call.params.max_tokens = Some(2_000);
    let sampled = |call: &mut Call| call.params.temperature = Some(0.2);
    let what = |what| {
        Some(format!(
            "`reasoning_effort` was left out: platform anthropic does not take it with {what}"
        ))
    };
    assert_eq!(warned(&old, &|_| {}), None);
    assert_eq!(warned(&old, &few), what("so few `max_tokens`"));
    assert_eq!(warned(&new, &few), None);
    assert_eq!(warned(&new, &sampled), what("`temperature`"));
}

/// Names that a request has anyway cannot be set by options: they would win or lose silently.
#[test]
fn options_cannot_name_what_requests_have_already() {
    for service in Service::ALL
        .into_iter()
        .filter(|service| *service != Service::Cli)
    {
        let mut body = Value::Object(Map::new());
        for parameter in Parameter::ALL.iter().copied() {
            let (_, mut with) = without_and_with(parameter, service);
            with.options.clear();
            let members = request(service, &with);
            body.as_object_mut()
                .unwrap()
                .extend(members.as_object().unwrap().clone());
            if let Some(config) = members.get("generationConfig").or(members.get("options")) {
                for name in config.as_object().unwrap().keys() {
                    assert!(
                        is_refused(&json!({"generationConfig": {name: 1}})),
                        "{service:?} {name}"
                    );
                }
            }
        }
        for name in body.as_object().unwrap().keys() {
            // The group itself may be merged into.
            if name != "options" {
                assert!(is_refused(&json!({name: 1})), "{service:?} {name}");
            }
        }
    }
}

fn is_refused(options: &Value) -> bool {
    let job = json!({"prompt": "p", "provider_options": {"x": options}}).to_string();
    let message = RawMessage {
        fields: vec![(b"job".to_vec(), job.into_bytes())],
    };
    parse(&message, &MessageLimits::default()).is_err()
}
