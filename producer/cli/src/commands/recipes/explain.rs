//! `longshore recipes explain`: which models a recipe would ask, and at what cost at most.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use longshore_config::Config;
use longshore_policy::{
    catalog::{ModelEntry, PromptBound},
    cost::{AnswerBound, AnswerLimits},
    recipes::RecipeError,
    routing::{Candidate, Router},
    tokens::Prompt,
};
use longshore_protocol::{
    chain::{AuthorPart, Document, Step, StepName, template::is_template},
    clock::local_time,
    envelope::{Envelope, RawMessage, parse},
    money::Usd,
    recipe::RecipeName,
};
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
    /// The most that it can cost, if each call is made once. Of a step with a list, one item counts.
    at_most_usd: Usd,
}

#[derive(Debug, Serialize)]
struct Row {
    step: StepName,
    /// The models that would be asked, as `PLATFORM/MODEL`.
    asks: Vec<String>,
    /// Whether it asks them for each item of a list.
    per_item: bool,
    at_most_usd: Usd,
    /// Why nobody can answer.
    error: Option<String>,
}

/// Exit code 1 if a step has nobody to ask.
pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<Exit, CommandError> {
    let given = crate::options::object(&arguments.parameters);
    let explainer = Explainer {
        config,
        router: Router::new(&config.catalog, &config.routing, local_time().date_naive()),
        now: local_time(),
    };
    let report = explainer
        .report(&arguments.name, &given)
        .map_err(|error| CommandError::Input(error.to_string()))?;
    arguments
        .output
        .print_with(&report, |width| report.to_text(width));
    Ok(Exit::success_if(
        report.steps.iter().all(|step| step.error.is_none()),
    ))
}

struct Explainer<'a> {
    config: &'a Config,
    router: Router,
    now: DateTime<Utc>,
}

/// A step with its job, and who would be asked.
struct Asked<'a> {
    step: &'a Step,
    envelope: Envelope,
    models: Result<Vec<&'a ModelEntry>, String>,
}

impl Asked<'_> {
    /// The most tokens of its answers together.
    fn longest_answers(&self) -> u64 {
        let models = self.models.iter().flatten();
        let longest = models.map(|model| {
            let limit = self.envelope.params.max_tokens.unwrap_or(u32::MAX);
            u64::from(limit.min(model.max_output_tokens))
        });
        longest.sum()
    }
}

impl Explainer<'_> {
    fn report(&self, name: &RecipeName, given: &Map<String, Value>) -> Result<Report, RecipeError> {
        let recipe = self.config.recipes.find(name)?;
        let document = recipe.example(given, &self.config.limits)?.document;
        let steps = self.rows(&document)?;
        let costs = steps.iter().map(|row| row.at_most_usd);
        Ok(Report {
            name: name.clone(),
            at_most_usd: costs.fold(Usd::ZERO, |sum, cost| sum + cost),
            steps,
        })
    }

    fn rows(&self, document: &Document) -> Result<Vec<Row>, RecipeError> {
        let mut asked: Vec<Asked<'_>> = Vec::new();
        for step in &document.steps {
            let found = self.asked(step, &asked);
            asked.extend(found);
        }
        let answers: HashMap<&StepName, u64> = asked
            .iter()
            .map(|asked| (&asked.step.name, asked.longest_answers()))
            .collect();
        let rows = asked.iter().map(|asked| match &asked.step.work.recipe {
            None => Ok(self.row(asked, &answers)),
            Some(call) => {
                let inner = self.report(&call.name, &known_now(&call.parameters))?;
                Ok(Row {
                    step: asked.step.name.clone(),
                    asks: inner.steps.into_iter().flat_map(|row| row.asks).collect(),
                    per_item: asked.step.foreach.is_some(),
                    at_most_usd: inner.at_most_usd,
                    error: None,
                })
            }
        });
        rows.collect()
    }

    /// Who a step would ask after those before it; `None` if it asks no model.
    fn asked<'s>(&'s self, step: &'s Step, before: &[Asked<'s>]) -> Option<Asked<'s>> {
        let merge = step.merge.as_ref();
        let validate = step.validate.as_ref();
        if step.gate.is_some()
            || step.person.is_some()
            || merge.is_some_and(|of| !of.merge.asks_a_model())
            || validate.is_some_and(|validate| !validate.asks_a_model)
        {
            return None;
        }
        let message = RawMessage {
            fields: vec![(b"job".to_vec(), step.work.job.clone().into_bytes())],
        };
        let envelope = parse(&message, &self.config.limits).ok()?.envelope;
        let models = self.models(step, &envelope, &authors_of(step, before));
        Some(Asked {
            step,
            envelope,
            models,
        })
    }

    fn models(
        &self,
        step: &Step,
        envelope: &Envelope,
        authors: &[&ModelEntry],
    ) -> Result<Vec<&ModelEntry>, String> {
        let prompt = self.router.measure(envelope);
        if step.work.recipe.is_some() {
            return Ok(Vec::new());
        }
        let may_answer = |candidate: &Candidate<'_>| {
            let Some(not_by) = &step.not_by else {
                return true;
            };
            !authors.iter().any(|author| match not_by.part {
                AuthorPart::Platform => author.provider == candidate.provider.name,
                AuthorPart::Model => author.model == candidate.model.model,
            })
        };
        let entry = |platform, model: &str| self.config.catalog.entry(platform, model);
        let Some(models) = &step.models else {
            let decision = self.router.decide(envelope, prompt);
            let decision = decision.map_err(|error| error.error)?;
            let mut candidates = decision.candidates.iter();
            let first = candidates.find(|candidate| may_answer(candidate));
            let Some(first) = first else {
                return Err("no other model can answer (`not_by`)".to_owned());
            };
            return Ok(entry(&first.provider.name, &first.model.model)
                .into_iter()
                .collect());
        };
        let found = self.router.several(models, envelope, prompt, may_answer);
        let found = found.map_err(|error| error.error)?;
        let entries = found.iter().filter_map(|name| {
            let provider = self.config.catalog.platform(&name.platform)?;
            entry(&provider.name, &name.model)
        });
        Ok(entries.collect())
    }

    fn row(&self, asked: &Asked<'_>, answers: &HashMap<&StepName, u64>) -> Row {
        let merged = asked.step.merge.as_ref().map(|of| &of.asked);
        let read = asked.step.work.reads.iter().chain(merged);
        let read: u64 = read.filter_map(|name| answers.get(name)).sum();
        let (models, error) = match &asked.models {
            Ok(models) => (models.as_slice(), None),
            Err(error) => (&[][..], Some(error.clone())),
        };
        let costs = models.iter().map(|model| {
            let own = Prompt::of(&asked.envelope).upper_bound(model);
            let limits = AnswerLimits {
                prompt: PromptBound {
                    tokens: own.tokens.saturating_add(read),
                    ..own
                },
                max_tokens: asked.envelope.params.max_tokens,
                left: None,
                floor: self.config.routing.min_answer_tokens,
            };
            AnswerBound::new(model, limits, self.now).cost
        });
        let names = models
            .iter()
            .map(|model| format!("{}/{}", model.provider, model.model));
        Row {
            step: asked.step.name.clone(),
            asks: names.collect(),
            per_item: asked.step.foreach.is_some(),
            at_most_usd: costs.fold(Usd::ZERO, |sum, cost| sum + cost),
            error,
        }
    }
}

/// The parameters without those that are known when the step runs.
fn known_now(parameters: &Map<String, Value>) -> Map<String, Value> {
    let known = parameters
        .iter()
        .filter(|(_, value)| !value.as_str().is_some_and(is_template));
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The models that may have written what `not_by` names, those whose answers a step merges included.
fn authors_of<'s>(step: &Step, before: &[Asked<'s>]) -> Vec<&'s ModelEntry> {
    let named: Vec<&StepName> = step
        .not_by
        .iter()
        .flat_map(|not_by| &not_by.steps)
        .collect();
    let merged: Vec<&StepName> = before
        .iter()
        .filter(|asked| named.contains(&&asked.step.name))
        .filter_map(|asked| asked.step.merge.as_ref())
        .map(|of| &of.asked)
        .collect();
    let authors = before.iter().filter(|asked| {
        let name = &asked.step.name;
        named.contains(&name) || merged.contains(&name)
    });
    let models = authors.flat_map(|asked| asked.models.iter().flatten());
    models.copied().collect()
}

impl Report {
    fn to_text(&self, width: Width) -> String {
        let mut table = Table::new([whole("STEP"), wrap("ASKS"), whole("AT MOST").right()]);
        for row in &self.steps {
            let asks = match &row.error {
                Some(error) => error.clone(),
                None if row.per_item => format!("for each item: {}", row.asks.join(", ")),
                None => row.asks.join(", "),
            };
            table.add_row([
                Cell::new(&row.step),
                Cell::new(asks),
                Cell::new(dollars(row.at_most_usd)),
            ]);
        }
        format!(
            "{}\n\nAt most {}, if no call is repeated. Earlier answers in a prompt count as long as they may be.",
            table.fitted(width),
            dollars(self.at_most_usd)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use longshore_settings::Environment;

    use super::*;

    fn explained(name: &str, given: &Value) -> Result<String, String> {
        let keys = ["OPENAI_API_KEY", "XAI_API_KEY", "GOOGLE_API_KEY"];
        let env = Environment::from_pairs(keys.map(|name| (name, "secret")));
        let config = Config::from_yaml(&env, Path::new("longshore.yaml"), "").unwrap();
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
        let explainer = Explainer {
            config: &config,
            router: Router::new(&config.catalog, &config.routing, now.date_naive()),
            now,
        };
        let name = RecipeName::parse(name).unwrap();
        let report = explainer.report(&name, given.as_object().unwrap());
        report
            .map(|report| report.to_text(Width::of(120)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_call_has_its_models_and_its_highest_cost() {
        let text = explained("medium", &serde_json::json!({"models": ["xai", "gemini"]})).unwrap();
        insta::assert_snapshot!(text, @"
        STEP           ASKS                                        AT MOST
        answer_models  xai/grok-4.3, gemini/gemini-2.5-flash-lite  $2.5262
        answer         gemini/gemini-2.5-flash-lite                $0.1328
        check          openai/gpt-4o-mini                          $0.0197

        At most $2.6787, if no call is repeated. Earlier answers in a prompt count as long as they may be.
        ");
        let text = explained("complex", &serde_json::json!({"validators": 9})).unwrap();
        assert!(text.contains("but only 1 can answer"), "{text}");
        let error = explained("medum", &serde_json::json!({})).unwrap_err();
        assert!(error.contains("did you mean `medium`?"), "{error}");
    }
}
