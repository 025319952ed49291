//! What is told of a decision.

use chrono::{DateTime, Utc};
use comfy_table::{Cell, CellAlignment};
use longshore_client::Usd;
use longshore_shared::{
    call::Usage,
    catalog::{Billing, Tier},
    envelope::Envelope,
    routing::{Candidate, Router, Step, StepName},
    tokens,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::{
    submit::money::{dollars, exact},
    words::{count, drawn, harmless, head, table},
};

/// Tokens of an ordinary answer, where a job names no limit; as in [`Prices::nominal`].
///
/// [`Prices::nominal`]: longshore_shared::catalog::Prices::nominal
const ORDINARY_ANSWER: u32 = 500;

/// All tasks that were asked about.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) tasks: Vec<Routed>,
}

/// Who would answer a task.
#[derive(Debug, Serialize)]
pub(super) struct Routed {
    prompt: String,
    prompt_tokens: PromptTokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    candidates: Vec<Row>,
    steps: Vec<Step<'static>>,
}

/// How long a prompt is.
#[derive(Debug, Clone, Copy, Serialize)]
struct PromptTokens {
    about: u64,
    at_most: u64,
}

/// One candidate.
#[derive(Debug, Serialize)]
struct Row {
    platform: String,
    model: String,
    tier: Tier,
    billing: Billing,
    reason: String,
    #[serde(serialize_with = "exact")]
    about_usd: Usd,
    #[serde(serialize_with = "exact")]
    at_most_usd: Usd,
}

impl Routed {
    pub(super) fn of(envelope: &Envelope, router: &Router, now: DateTime<Utc>) -> Self {
        let system = envelope.system.as_deref();
        let prompt_tokens = PromptTokens {
            about: tokens::estimate(&envelope.messages, system),
            at_most: tokens::upper_bound(&envelope.messages, system),
        };
        let (error, candidates, steps) = match router.decide(envelope, router.measure(envelope)) {
            Err(nobody) => (Some(nobody.error), Vec::new(), Vec::new()),
            Ok(decision) => {
                let rows = decision.candidates.iter();
                let rows = rows.map(|one| Row::of(one, envelope.max_tokens, prompt_tokens, now));
                let steps = decision.steps.iter().map(|one| Step {
                    step: one.step,
                    outcome: one.outcome.to_string().into(),
                });
                (None, rows.collect(), steps.collect())
            }
        };
        Self {
            prompt: head(&envelope.prompt_head(), 60),
            prompt_tokens,
            error,
            candidates,
            steps,
        }
    }

    fn text(&self, explain: bool) -> String {
        if let Some(error) = &self.error {
            return format!("Nobody: {}", harmless(error));
        }
        if explain {
            self.explained()
        } else {
            let mut candidates = table(["#", "PLATFORM", "MODEL"]);
            for (at, row) in self.candidates.iter().enumerate() {
                candidates.add_row([
                    (at + 1).to_string(),
                    row.platform.clone(),
                    row.model.clone(),
                ]);
            }
            drawn(&candidates)
        }
    }

    fn explained(&self) -> String {
        let mut candidates = table([
            "#", "PLATFORM", "MODEL", "TIER", "BILLING", "ABOUT", "AT MOST", "WHY",
        ]);
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        for (at, row) in self.candidates.iter().enumerate() {
            candidates.add_row([
                Cell::new(at + 1),
                Cell::new(&row.platform),
                Cell::new(&row.model),
                Cell::new(row.tier),
                Cell::new(row.billing),
                right(dollars(row.about_usd)),
                right(dollars(row.at_most_usd)),
                Cell::new(harmless(&row.reason)),
            ]);
        }
        let mut steps = table(["STEP", "OUTCOME"]);
        for step in StepName::ALL {
            let mut outcomes = self.steps.iter().filter(|one| one.step == *step).peekable();
            if outcomes.peek().is_none() {
                steps.add_row([step.as_str(), "-"]);
            }
            for one in outcomes {
                steps.add_row([step.as_str(), &harmless(&one.outcome)]);
            }
        }
        format!(
            "{}\n\n{}\n\nPrompt: about {} tokens, at most {}",
            drawn(&candidates),
            drawn(&steps),
            count(self.prompt_tokens.about),
            count(self.prompt_tokens.at_most)
        )
    }

    fn json(&self, explain: bool) -> Value {
        if explain || self.error.is_some() {
            return json!(self);
        }
        let candidates = self.candidates.iter();
        let candidates: Vec<Value> = candidates
            .map(|row| json!({"platform": row.platform, "model": row.model}))
            .collect();
        json!({"prompt": self.prompt, "candidates": candidates})
    }
}

impl Row {
    fn of(
        candidate: &Candidate<'_>,
        max_tokens: Option<u32>,
        prompt: PromptTokens,
        now: DateTime<Utc>,
    ) -> Self {
        let model = candidate.model;
        let most = max_tokens.unwrap_or(model.max_output_tokens);
        let about = Usage {
            input: prompt.about,
            output: u64::from(max_tokens.unwrap_or(ORDINARY_ANSWER)),
            ..Usage::default()
        };
        Self {
            platform: candidate.provider.name.to_string(),
            model: model.model.clone(),
            tier: model.tier,
            billing: candidate.provider.billing,
            reason: candidate.reason.to_string(),
            about_usd: model.cost(&about, now),
            at_most_usd: model.upper_bound(prompt.at_most, u64::from(most), now),
        }
    }
}

impl Report {
    /// Whether every task has somebody.
    pub(super) fn is_whole(&self) -> bool {
        self.tasks.iter().all(|task| task.error.is_none())
    }

    pub(super) fn json(&self, explain: bool) -> Value {
        let tasks: Vec<Value> = self.tasks.iter().map(|task| task.json(explain)).collect();
        json!({"tasks": tasks})
    }

    pub(super) fn text(&self, explain: bool) -> String {
        if let [only] = self.tasks.as_slice() {
            return only.text(explain);
        }
        let parts = self.tasks.iter().enumerate().map(|(at, task)| {
            let title = format!("Task {}: {}", at + 1, harmless(&task.prompt));
            format!("{title}\n{}", task.text(explain))
        });
        parts.collect::<Vec<_>>().join("\n\n")
    }
}
