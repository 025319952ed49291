//! Which models a recipe would ask, and what it can cost at most.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    call::ChatMessage,
    chain::{
        AuthorPart, Document, Step, StepName,
        template::{RecipeInputs, is_template, render_envelope},
    },
    envelope::{Envelope, MessageLimits, RawMessage, parse},
    money::Usd,
    recipe::{MAX_NESTED, RecipeCall, RecipeName},
};
use serde_json::{Map, Value};

use super::{Recipe, RecipeError, Recipes, expand::scope_before_steps};
use crate::{
    catalog::{Catalog, ModelEntry, PromptBound},
    cost::{AnswerBound, AnswerLimits, CostCap},
    routing::{Candidate, Router, Routing},
    tokens::Prompt,
};

/// The most tokens of what a question about answers says besides the task and the answers.
const QUESTION_TOKENS: u64 = 4_096;

/// Explains recipes by a configuration, without asking anyone.
#[derive(Clone, Copy)]
pub struct Explainer<'a> {
    pub recipes: &'a Recipes,
    pub catalog: &'a Catalog,
    pub routing: &'a Routing,
    pub router: &'a Router,
    pub limits: &'a MessageLimits,
    pub now: DateTime<Utc>,
}

/// What a recipe would ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub steps: Vec<ExplainedStep>,
    /// The most that it can cost, if no call is repeated.
    pub at_most: Usd,
    /// Whether it can cost more than `at_most`, because something is known only when it runs. `at_most` counts one item
    /// of each list and one call of a model with tools then.
    pub may_cost_more: bool,
    /// The most tokens of its answer; `None` if that is known only when it runs.
    answer: Option<u64>,
}

/// What a step would ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedStep {
    pub name: StepName,
    /// The models, as `PLATFORM/MODEL`. Those of a repetition are the models of all rounds.
    pub asks: Vec<String>,
    /// Whether it asks them for each item of a list.
    pub per_item: bool,
    /// The most rounds, if it repeats a recipe.
    pub rounds: u32,
    pub at_most: Usd,
    /// Whether it can cost more than `at_most`.
    pub may_cost_more: bool,
    /// Why nobody can answer.
    pub error: Option<String>,
}

/// A step that may ask models, and what it would ask.
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

/// What a step reads: tokens at most, and whether more are possible.
#[derive(Clone, Copy)]
struct Read {
    tokens: u64,
    may_be_more: bool,
}

/// The most tokens of each step's answer; `None` if that is known only when it runs.
type Lengths<'a> = BTreeMap<&'a StepName, Option<u64>>;

/// The answers that steps can read.
#[derive(Default)]
struct Answers<'a> {
    /// Those of the steps before.
    now: Lengths<'a>,
    /// Those of the round before.
    last: Lengths<'a>,
}

impl Answers<'_> {
    /// What a step reads of others, beside `inputs` tokens of the job and the parameters.
    fn read_by(&self, step: &Step, inputs: u64) -> Read {
        let work = &step.work;
        let merged = step.merge.iter().map(|of| &of.asked);
        let now: BTreeSet<&StepName> = work.reads.iter().chain(merged).collect();
        let now = now.into_iter().map(|name| *self.now.get(name)?);
        // In the first round, there is nothing to read.
        let last = work
            .reads_last
            .iter()
            .filter_map(|name| self.last.get(name));
        let of_steps: Vec<Option<u64>> = now.chain(last.copied()).collect();
        let question = if step.merge.is_some() || step.validate.is_some() {
            QUESTION_TOKENS
        } else {
            0
        };
        let known = of_steps.iter().flatten().copied().chain([inputs, question]);
        Read {
            tokens: known.fold(0, u64::saturating_add),
            may_be_more: of_steps.contains(&None),
        }
    }
}

/// The part of a chain that has been explained.
#[derive(Default)]
struct Draft<'a> {
    asked: Vec<Asked<'a>>,
    answers: Answers<'a>,
    steps: Vec<ExplainedStep>,
}

/// What a recipe reads of the job that it answers.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    values: &'a RecipeInputs,
    /// The most tokens of the job's texts and the parameters.
    tokens: u64,
    /// Whether the texts of the job are known.
    has_texts: bool,
    /// How many recipes are around its steps.
    depth: u32,
}

/// A recipe as it is called: by itself, or by a step of another.
struct Called<'a> {
    recipe: &'a Recipe,
    given: Map<String, Value>,
    /// The most tokens of the prompt that it answers.
    prompt: u64,
    /// How many recipes are around its steps.
    depth: u32,
}

impl Explainer<'_> {
    /// Explains a recipe with these parameters, and defaults for the others.
    pub fn recipe(
        &self,
        name: &RecipeName,
        given: &Map<String, Value>,
    ) -> Result<Explanation, RecipeError> {
        let called = Called {
            recipe: self.recipes.find(name)?,
            given: given.clone(),
            prompt: 0,
            depth: 1,
        };
        self.example(&called, 1)
    }

    /// Explains the recipe of a job, in all its rounds.
    pub fn job(
        &self,
        recipe: &Recipe,
        inputs: &RecipeInputs,
        rounds: u32,
    ) -> Result<Explanation, RecipeError> {
        Explanation::of_rounds((1..=rounds).map(|round| {
            let inputs = RecipeInputs {
                round,
                ..inputs.clone()
            };
            let document = recipe.expand(&inputs, self.limits)?.document;
            let inputs = Inputs {
                values: &inputs,
                tokens: lengths(&inputs.job).saturating_add(lengths(&inputs.parameters)),
                has_texts: true,
                depth: 1,
            };
            self.document(&document, inputs)
        }))
    }

    /// A round of a recipe as an example.
    fn example(&self, called: &Called<'_>, round: u32) -> Result<Explanation, RecipeError> {
        let inputs = called.recipe.example_inputs(&called.given, round)?;
        let document = called.recipe.as_example(&inputs, self.limits)?.document;
        let inputs = Inputs {
            values: &inputs,
            tokens: called.prompt.saturating_add(lengths(&inputs.parameters)),
            has_texts: false,
            depth: called.depth,
        };
        self.document(&document, inputs)
    }

    /// The chain of a round.
    fn document(
        &self,
        document: &Document,
        inputs: Inputs<'_>,
    ) -> Result<Explanation, RecipeError> {
        let mut draft = self.draft(document, Lengths::new(), inputs)?;
        if inputs.values.round > 1 {
            draft = self.draft(document, draft.answers.now, inputs)?;
        }
        let mut answers = draft.answers.now.into_values();
        let answer = answers.try_fold(0, |longest, one| Some(longest.max(one?)));
        Ok(Explanation::of_steps(draft.steps, answer).within(document.max_cost))
    }

    fn draft<'s>(
        &'s self,
        document: &'s Document,
        last: Lengths<'s>,
        inputs: Inputs<'_>,
    ) -> Result<Draft<'s>, RecipeError> {
        let mut draft = Draft::default();
        draft.answers.last = last;
        for step in &document.steps {
            self.step(step, inputs, &mut draft)?;
        }
        Ok(draft)
    }

    fn step<'s>(
        &'s self,
        step: &'s Step,
        inputs: Inputs<'_>,
        draft: &mut Draft<'s>,
    ) -> Result<(), RecipeError> {
        let Some(envelope) = self.envelope(step) else {
            let read = draft.answers.read_by(step, 0);
            let answer = answer_without_call(step, read);
            draft.answers.now.insert(&step.name, answer);
            return Ok(());
        };
        let (envelope, tokens) = inputs.filled_in(step, envelope);
        let read = draft.answers.read_by(step, tokens);
        if let Some(call) = &step.work.recipe {
            let (explained, answer) = self.call(step, call, &envelope, read, inputs.depth)?;
            draft.answers.now.insert(&step.name, answer);
            draft.steps.push(explained);
            return Ok(());
        }
        let models = self.models(step, &envelope, &authors_of(step, &draft.asked));
        let asked = Asked {
            step,
            envelope,
            models,
        };
        draft.steps.push(self.explained(&asked, read));
        let is_known = step.foreach.is_none() && !step.work.spawns;
        let answer = is_known.then(|| asked.longest_answers());
        draft.answers.now.insert(&step.name, answer);
        draft.asked.push(asked);
        Ok(())
    }

    /// The job of a step; `None` if it asks no model.
    fn envelope(&self, step: &Step) -> Option<Envelope> {
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
        Some(parse(&message, self.limits).ok()?.envelope)
    }

    /// A step that calls a recipe, and the most tokens of its answer.
    fn call(
        &self,
        step: &Step,
        call: &RecipeCall,
        envelope: &Envelope,
        read: Read,
        depth: u32,
    ) -> Result<(ExplainedStep, Option<u64>), RecipeError> {
        let rounds = call.repeat.as_ref().map_or(1, |repeat| repeat.at_most);
        let given = known_now(&call.parameters);
        let is_unknown = given.len() < call.parameters.len() || read.may_be_more;
        let called = Called {
            recipe: self.recipes.find(&call.name)?,
            given,
            prompt: texts_length(envelope).saturating_add(read.tokens),
            depth: depth + 1,
        };
        // Recipes that call one another too deep are refused when they run.
        let inner = if called.depth > MAX_NESTED {
            Explanation::of_steps(Vec::new(), None)
        } else {
            Explanation::of_rounds((1..=rounds).map(|round| self.example(&called, round)))?
        };
        let may_cost_more =
            inner.may_cost_more || is_unknown || step.foreach.is_some() || step.work.spawns;
        let mut asks: Vec<String> = Vec::new();
        for name in inner.steps.iter().flat_map(|step| &step.asks) {
            if !asks.contains(name) {
                asks.push(name.clone());
            }
        }
        let answer = inner
            .answer
            .filter(|_| !is_unknown && step.foreach.is_none());
        let explained = ExplainedStep {
            name: step.name.clone(),
            asks,
            per_item: step.foreach.is_some(),
            rounds,
            at_most: inner.at_most,
            may_cost_more,
            error: inner.steps.into_iter().find_map(|step| step.error),
        };
        Ok((explained.within(step, envelope.max_cost), answer))
    }

    fn models(
        &self,
        step: &Step,
        envelope: &Envelope,
        authors: &[&ModelEntry],
    ) -> Result<Vec<&ModelEntry>, String> {
        let prompt = self.router.measure(envelope);
        let may_answer = |candidate: &Candidate<'_>| {
            let Some(not_by) = &step.not_by else {
                return true;
            };
            !authors.iter().any(|author| match not_by.part {
                AuthorPart::Platform => author.provider == candidate.provider.name,
                AuthorPart::Model => author.model == candidate.model.model,
            })
        };
        let entry = |platform, model: &str| self.catalog.entry(platform, model);
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
            let provider = self.catalog.platform(&name.platform)?;
            entry(&provider.name, &name.model)
        });
        Ok(entries.collect())
    }

    /// A step that asks models.
    fn explained(&self, asked: &Asked<'_>, read: Read) -> ExplainedStep {
        let (step, envelope) = (asked.step, &asked.envelope);
        let (models, error) = match &asked.models {
            Ok(models) => (models.as_slice(), None),
            Err(error) => (&[][..], Some(error.clone())),
        };
        let cap = CostCap::for_job(envelope, self.routing).map(|cap| cap.amount);
        let costs = models.iter().map(|model| {
            let own = Prompt::of(envelope).upper_bound(model);
            let limits = AnswerLimits {
                prompt: PromptBound {
                    tokens: own.tokens.saturating_add(read.tokens),
                    ..own
                },
                max_tokens: envelope.params.max_tokens,
                left: None,
                floor: self.routing.min_answer_tokens,
            };
            let cost = AnswerBound::new(model, limits, self.now).cost;
            cap.map_or(cost, |cap| cost.min(cap))
        });
        let names = models
            .iter()
            .map(|model| format!("{}/{}", model.provider, model.model));
        let is_open = read.may_be_more || step.tools.is_some();
        ExplainedStep {
            name: step.name.clone(),
            asks: names.collect(),
            per_item: step.foreach.is_some(),
            rounds: 1,
            at_most: costs.fold(Usd::ZERO, |sum, cost| sum + cost),
            may_cost_more: step.foreach.is_some() || step.work.spawns || (is_open && cap.is_none()),
            error,
        }
    }
}

impl Inputs<'_> {
    /// The job of a step with its texts as far as they are known, and the most tokens that it reads of the inputs besides.
    fn filled_in(self, step: &Step, envelope: Envelope) -> (Envelope, u64) {
        if !step.work.reads_recipe {
            return (envelope, 0);
        }
        match render_envelope(&envelope, &scope_before_steps(self.values)) {
            Ok(rendered) if self.has_texts => (rendered, 0),
            Ok(rendered) => (rendered, self.tokens),
            // It reads answers that are not there yet.
            Err(_) => (envelope, self.tokens),
        }
    }
}

impl Explanation {
    fn of_steps(steps: Vec<ExplainedStep>, answer: Option<u64>) -> Self {
        let costs = steps.iter().map(|step| step.at_most);
        Self {
            at_most: costs.fold(Usd::ZERO, |sum, cost| sum + cost),
            may_cost_more: steps.iter().any(|step| step.may_cost_more),
            steps,
            answer,
        }
    }

    /// All rounds of a repetition together.
    fn of_rounds(
        rounds: impl Iterator<Item = Result<Self, RecipeError>>,
    ) -> Result<Self, RecipeError> {
        let mut all = Self::of_steps(Vec::new(), Some(0));
        for round in rounds {
            let round = round?;
            all.steps.extend(round.steps);
            all.at_most = all.at_most + round.at_most;
            all.may_cost_more |= round.may_cost_more;
            all.answer = all
                .answer
                .zip(round.answer)
                .map(|(one, other)| one.max(other));
        }
        Ok(all)
    }

    /// It costs no more than its chain may.
    fn within(self, max_cost: Option<Usd>) -> Self {
        match max_cost {
            Some(max_cost) if self.may_cost_more || self.at_most > max_cost => Self {
                at_most: max_cost,
                may_cost_more: false,
                ..self
            },
            _ => self,
        }
    }
}

impl ExplainedStep {
    /// It costs no more than its job may.
    fn within(self, step: &Step, max_cost: Option<Usd>) -> Self {
        match max_cost {
            Some(max_cost) if self.may_cost_more || self.at_most > max_cost => Self {
                at_most: max_cost,
                may_cost_more: step.foreach.is_some() || step.work.spawns,
                ..self
            },
            _ => self,
        }
    }
}

/// The most tokens of what a step answers that asks no model; `None` if that is known only when it runs.
fn answer_without_call(step: &Step, read: Read) -> Option<u64> {
    let is_open = step.gate.is_some() || step.person.is_some() || read.may_be_more;
    (!is_open).then(|| read.tokens.saturating_add(QUESTION_TOKENS))
}

/// A token has at least one byte.
fn length(value: &Value) -> u64 {
    let bytes = match value {
        Value::Null => 0,
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn lengths(values: &Map<String, Value>) -> u64 {
    values.values().map(length).fold(0, u64::saturating_add)
}

fn texts_length(envelope: &Envelope) -> u64 {
    let texts = envelope.messages.iter().flat_map(ChatMessage::texts);
    let bytes: usize = texts.map(str::len).sum();
    u64::try_from(bytes).unwrap_or(u64::MAX)
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
