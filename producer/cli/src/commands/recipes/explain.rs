//! `longshore recipes explain`: which models a recipe would ask, and at what cost at most.

use chrono::{DateTime, Utc};
use longshore_config::Config;
use longshore_policy::{
    recipes::{ExplainedStep, Explainer, Explanation, RecipeError},
    routing::Router,
};
use longshore_protocol::{chain::StepName, clock::local_time, money::Usd, recipe::RecipeName};
use serde::Serialize;
use serde_json::{Map, Value};

use super::recipe_name;
use crate::{
    error::{CommandError, Exit},
    options::Assignment,
    output::TableOutput,
    render::{
        money::dollars,
        table::{Cell, Table, Width, whole, wrap},
    },
};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    /// Name of the recipe
    #[arg(value_name = "NAME", value_parser = recipe_name)]
    name: RecipeName,
    /// Value of a parameter; VALUE is parsed as JSON, else taken as text; may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = Assignment::parse)]
    parameters: Vec<Assignment>,
    #[command(flatten)]
    output: TableOutput,
}

/// What a recipe would ask.
#[derive(Debug, Serialize)]
struct Report {
    name: RecipeName,
    steps: Vec<Row>,
    /// The most that it can cost, if each call is made once.
    at_most_usd: Usd,
    /// Whether it can cost more, because something is known only when it runs.
    may_cost_more: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    step: StepName,
    /// The models that would be asked, as `PLATFORM/MODEL`.
    asks: Vec<String>,
    /// Whether it asks them for each item of a list.
    per_item: bool,
    /// The most rounds.
    rounds: u32,
    at_most_usd: Usd,
    may_cost_more: bool,
    /// Why nobody can answer.
    error: Option<String>,
}

/// Exit code 1 if a step has nobody to ask.
pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<Exit, CommandError> {
    let given = crate::options::object(&arguments.parameters);
    let report = explained(&arguments.name, &given, config, local_time())
        .map_err(|error| CommandError::Input(error.to_string()))?;
    arguments
        .output
        .print_with(&report, |width| report.to_text(width));
    Ok(Exit::success_if(
        report.steps.iter().all(|step| step.error.is_none()),
    ))
}

fn explained(
    name: &RecipeName,
    given: &Map<String, Value>,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<Report, RecipeError> {
    let explainer = Explainer {
        recipes: &config.recipes,
        catalog: &config.catalog,
        routing: &config.routing,
        router: &Router::new(&config.catalog, &config.routing, now.date_naive()),
        limits: &config.limits,
        now,
    };
    let explanation = explainer.recipe(name, given)?;
    Ok(Report::new(name, explanation))
}

impl Report {
    fn new(name: &RecipeName, explanation: Explanation) -> Self {
        Self {
            name: name.clone(),
            steps: explanation.steps.into_iter().map(Row::from).collect(),
            at_most_usd: explanation.at_most,
            may_cost_more: explanation.may_cost_more,
        }
    }

    fn to_text(&self, width: Width) -> String {
        let mut table = Table::new([whole("STEP"), wrap("ASKS"), whole("AT MOST").right()]);
        for row in &self.steps {
            table.add_row([
                Cell::new(&row.step),
                Cell::new(row.asked()),
                Cell::new(cost(row.at_most_usd, row.may_cost_more)),
            ]);
        }
        format!("{}\n\n{}", table.fitted(width), self.summary())
    }

    fn summary(&self) -> String {
        let most = dollars(self.at_most_usd);
        if self.may_cost_more {
            return format!(
                "{most} or more: how many items, calls of tools or texts there will be is known only when it runs. \
                 `max_cost_usd` of the job or the recipe limits it."
            );
        }
        format!(
            "At most {most}, if no call is repeated. Earlier answers in a prompt count as long as they may be."
        )
    }
}

impl Row {
    fn asked(&self) -> String {
        let asks = match &self.error {
            Some(error) => error.clone(),
            None => self.asks.join(", "),
        };
        match (self.per_item, self.rounds) {
            (true, _) => format!("for each item: {asks}"),
            (false, 1) => asks,
            (false, rounds) => format!("in {rounds} rounds: {asks}"),
        }
    }
}

impl From<ExplainedStep> for Row {
    fn from(step: ExplainedStep) -> Self {
        Self {
            step: step.name,
            asks: step.asks,
            per_item: step.per_item,
            rounds: step.rounds,
            at_most_usd: step.at_most,
            may_cost_more: step.may_cost_more,
            error: step.error,
        }
    }
}

fn cost(at_most: Usd, may_cost_more: bool) -> String {
    let more = if may_cost_more { "+" } else { "" };
    format!("{}{more}", dollars(at_most))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use longshore_settings::Environment;

    use super::*;

    fn text(name: &str, given: &Value) -> Result<String, String> {
        let keys = ["OPENAI_API_KEY", "XAI_API_KEY", "GOOGLE_API_KEY"];
        let env = Environment::from_pairs(keys.map(|name| (name, "secret")));
        let config = Config::from_yaml(&env, Path::new("longshore.yaml"), "").unwrap();
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
        let name = RecipeName::parse(name).unwrap();
        explained(&name, given.as_object().unwrap(), &config, now)
            .map(|report| report.to_text(Width::of(120)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_call_has_its_models_and_its_highest_cost() {
        let medium = text("medium", &serde_json::json!({"models": ["xai", "gemini"]})).unwrap();
        insta::assert_snapshot!(medium, @"
        STEP           ASKS                                        AT MOST
        answer_models  xai/grok-4.3, gemini/gemini-2.5-flash-lite  $2.5264
        answer         gemini/gemini-2.5-flash-lite                $0.1332
        check          openai/gpt-4o-mini                          $0.0203

        At most $2.6798, if no call is repeated. Earlier answers in a prompt count as long as they may be.
        ");
        let complex = text("complex", &serde_json::json!({"validators": 9})).unwrap();
        assert!(complex.contains("but only 1 can answer"), "{complex}");
        let error = text("medum", &serde_json::json!({})).unwrap_err();
        assert!(error.contains("did you mean `medium`?"), "{error}");
    }

    #[test]
    fn what_is_known_only_when_it_runs_is_named() {
        let given = serde_json::json!({"risk": "high", "area": "core"});
        let planned = text("plan-review-implement-review", &given).unwrap();
        insta::assert_snapshot!(planned, @"
        STEP       ASKS                                      AT MOST
        plan       in 3 rounds: xai/grok-4.7, openai/o3     $25.2299
        implement  for each item: xai/grok-4.7, openai/o3  $37.2273+
        result     gemini/gemini-2.5-flash-lite             $0.0262+

        $62.4834 or more: how many items, calls of tools or texts there will be is known only when it runs. `max_cost_usd` of the job or the recipe limits it.
        ");
    }
}
