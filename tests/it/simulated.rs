//! Configurations whose providers are all played by the simulator.

use std::fmt::Write as _;

use longshore_protocol::outcome::Outcome;
use longshore_simulator::Dialect;
use longshore_tests::stack::Stack;
use serde_json::Value;

/// A provider that the simulator plays under this name, with one model.
pub(crate) struct SimulatedProvider {
    pub(crate) name: &'static str,
    model: Model,
    /// Its `limits:`, in YAML.
    limits: String,
}

/// A model with the prices that the simulator bills.
#[derive(Clone, Copy)]
pub(crate) enum Model {
    /// $0.15 and $0.60 per million tokens: the first choice.
    Cheap,
    /// $2.50 and $10 per million tokens.
    Dear,
}

impl SimulatedProvider {
    pub(crate) fn unlimited(name: &'static str, model: Model) -> Self {
        Self::limited(name, model, "{}")
    }

    pub(crate) fn limited(name: &'static str, model: Model, limits: &str) -> Self {
        Self {
            name,
            model,
            limits: limits.to_owned(),
        }
    }
}

/// The outcome of a job, enqueued in the default queue.
pub(crate) async fn outcome(stack: &Stack, job: &Value) -> Outcome {
    let ids = stack.enqueue(&[job.to_string()]).await.unwrap();
    stack.outcome(ids.first().unwrap()).await.unwrap()
}

/// A configuration with `rest` and exactly these providers.
pub(crate) fn config_yaml(stack: &Stack, providers: &[SimulatedProvider], rest: &str) -> String {
    let mut yaml = format!("{rest}\nproviders:\n");
    let mut models = String::from("models:\n");
    for SimulatedProvider {
        name,
        model,
        limits,
    } in providers
    {
        let url = stack.simulator.base_url(name, Dialect::Openai);
        let (model, input, cached, output) = match model {
            Model::Cheap => ("gpt-4o-mini", "0.15", "0.075", "0.6"),
            Model::Dear => ("gpt-4o", "2.5", "1.25", "10"),
        };
        writeln!(
            yaml,
            "  {name}:\n    dialect: openai\n    base_url: {url}\n    api_key: simulated\n    \
             default_model: {model}",
        )
        .unwrap();
        if limits != "{}" {
            writeln!(yaml, "    limits: {limits}").unwrap();
        }
        writeln!(
            models,
            "  - {{provider: {name}, model: {model}, tier: standard, context_window: 128000, \
             max_output_tokens: 16384, input_per_million: \"{input}\", cached_per_million: \"{cached}\", \
             output_per_million: \"{output}\"}}",
        )
        .unwrap();
    }
    yaml + &models
}
