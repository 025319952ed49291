//! What holds for every job and every set of platforms.

use proptest::{option, prelude::*, sample::subsequence};
use serde_json::{Map, Value, json};

use super::*;

const KEYS: [&str; 6] = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GOOGLE_API_KEY",
    "XAI_API_KEY",
    "DEEPSEEK_API_KEY",
    "OPENROUTER_API_KEY",
];

const ROUTINGS: [&str; 3] = [
    "",
    "routing: {prefer_local: true, fallback_provider: xai, max_cost_per_task: 0.02}",
    "routing: {rules: [{name: all, tier: standard}, {name: none, capability: review}]}",
];

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    option::of(proptest::sample::select(words))
}

prop_compose! {
    fn job()(
        prompt in "(a |react |bash |sql ){1,4}",
        kind in one_of(&["planning", "research"]),
        risk in one_of(&["low", "medium", "high", "odd"]),
        area in one_of(&["core", "api", "docs", "tests"]),
        complexity in one_of(&["simple", "complex"]),
        platform in one_of(&["claude", "gemini", "xai", "openrouter", "skynet"]),
        model in option::weighted(0.2, proptest::sample::select(&["gpt-4o-mini", "claude-opus-5-5"][..])),
        max_cost_usd in one_of(&["0.0001", "0.05"]),
        fallback in option::of(any::<bool>()),
        max_tokens in option::of(1..500_000_u32),
    ) -> String {
        let mut job = Map::new();
        for (field, value) in [
            ("prompt", json!(prompt)), ("type", json!(kind)), ("risk", json!(risk)), ("area", json!(area)),
            ("complexity", json!(complexity)), ("platform", json!(platform)), ("model", json!(model)),
            ("max_cost_usd", json!(max_cost_usd)), ("fallback", json!(fallback)), ("max_tokens", json!(max_tokens)),
        ] {
            job.insert(field.to_owned(), value);
        }
        Value::Object(job).to_string()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_decision_has_each_capable_platform_once(
        keys in subsequence(KEYS.to_vec(), 0..=6),
        routing in proptest::sample::select(&ROUTINGS[..]),
        jobs in prop::collection::vec((job(), 1..2_000_000_u64), 20),
    ) {
        let config = config(&keys, routing);
        let router = router_of(&config, today());
        for (job, tokens) in jobs {
            let envelope = envelope(&job);
            let decision = match long(&router, &job, tokens) {
                Ok(decision) => decision,
                Err(refused) => {
                    prop_assert!(!refused.error.is_empty());
                    continue;
                }
            };
            let candidates = &decision.candidates;
            prop_assert!(!candidates.is_empty());
            prop_assert!(envelope.fallback || candidates.len() == 1);
            let asked = tokens + envelope.params.max_tokens.map_or(0, u64::from);
            for (at, one) in candidates.iter().enumerate() {
                prop_assert!(one.provider.is_on());
                prop_assert_eq!(&one.provider.name, &one.model.provider);
                prop_assert!(one.model.context_window >= asked);
                prop_assert!(!one.reason.is_empty());
                let before = &candidates[..at];
                prop_assert!(before.iter().all(|other| other.provider.name != one.provider.name));
            }
            prop_assert!(decision.steps.is_sorted_by_key(|one| one.step as usize));
            let inputs = &envelope.routing;
            let asks_tier = inputs.risk.is_some() || inputs.complexity.is_some();
            let plain = envelope.model.is_none() && envelope.max_cost.is_none() && routing.is_empty() && !asks_tier;
            if plain && envelope.fallback && asked < 128_000 {
                let on = config.catalog.enabled();
                let on = on.filter(|one| config.catalog.entry(&one.name, &one.default_model).is_some());
                prop_assert_eq!(candidates.len(), on.count(), "{}", job);
            }
        }
    }
}
