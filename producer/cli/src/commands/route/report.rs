//! The routing decision of each task.

use chrono::{DateTime, Utc};
use longshore_client::Usd;
use longshore_policy::{
    catalog::Billing,
    cost::{AnswerBound, AnswerLimits, CostCap},
    parameters::Asked,
    routing::{Candidate, Router, Routing, RoutingStage, StageName},
    tokens::Prompt,
};
use longshore_protocol::{call::Usage, envelope::Envelope, platform::Tier};
use serde::Serialize;
use serde_json::{Value, json};

use crate::render::{
    money::dollars,
    table::{Cell, Table, Width, hide, whole, wrap},
    text::{grouped, one_line, printable},
};

/// Tokens of a typical answer, if a job sets no limit; as in [`Prices::nominal`].
///
/// [`Prices::nominal`]: longshore_policy::catalog::Prices::nominal
const TYPICAL_ANSWER: u32 = 500;

/// The routing of all tasks.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) tasks: Vec<RoutedTask>,
}

/// The routing of a task.
#[derive(Debug, Serialize)]
pub(super) struct RoutedTask {
    prompt: String,
    prompt_tokens: PromptTokens,
    error: Option<String>,
    candidates: Vec<Row>,
    steps: Vec<RoutingStage<'static>>,
}

/// The length of a prompt.
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
    about_usd: Usd,
    at_most_usd: Usd,
}

impl RoutedTask {
    pub(super) fn new(
        envelope: &Envelope,
        router: &Router,
        routing: &Routing,
        now: DateTime<Utc>,
    ) -> Self {
        let prompt = Prompt::of(envelope);
        let mut prompt_tokens = PromptTokens {
            about: prompt.estimate(),
            at_most: prompt.expected_bound(),
        };
        let (error, candidates, steps) = match router.decide(envelope, router.measure(envelope)) {
            Err(unroutable) => (Some(unroutable.error), Vec::new(), Vec::new()),
            Ok(decision) => {
                let bounds = decision.candidates.iter();
                let bounds = bounds.map(|one| prompt.upper_bound(one.model).tokens);
                prompt_tokens.at_most = bounds.max().unwrap_or(prompt_tokens.at_most);
                let rows = decision.candidates.iter();
                let rows = rows.map(|one| Row::new(one, envelope, routing, prompt_tokens, now));
                let steps = decision.steps.iter().map(|one| RoutingStage {
                    step: one.step,
                    outcome: one.outcome.to_string().into(),
                });
                let (mut rows, mut steps): (Vec<Row>, Vec<_>) = (rows.collect(), steps.collect());
                let mut error = None;
                if let Some(cap) = CostCap::for_job(envelope, routing) {
                    let over = rows.extract_if(.., |row| row.at_most_usd > cap.amount);
                    let over: Vec<String> = over.map(|row| row.over(cap)).collect();
                    if rows.is_empty() {
                        error = Some(over.join("; "));
                    }
                    steps.extend(over.into_iter().map(|outcome| RoutingStage {
                        step: StageName::MaxCost,
                        outcome: format!("without {outcome}").into(),
                    }));
                }
                (error, rows, steps)
            }
        };
        Self {
            prompt: one_line(&envelope.prompt_head(), 60),
            prompt_tokens,
            error,
            candidates,
            steps,
        }
    }

    fn to_text(&self, explain: bool, width: Width) -> String {
        if let Some(error) = &self.error {
            return format!("No platform: {}", printable(error));
        }
        if explain {
            self.explained(width)
        } else {
            let mut candidates =
                Table::new([whole("#").right(), whole("PLATFORM"), whole("MODEL")]);
            for (at, row) in self.candidates.iter().enumerate() {
                candidates.add_row([
                    (at + 1).to_string(),
                    row.platform.clone(),
                    row.model.clone(),
                ]);
            }
            candidates.fitted(width)
        }
    }

    fn explained(&self, width: Width) -> String {
        let mut candidates = Table::new([
            whole("#").right(),
            whole("PLATFORM"),
            whole("MODEL"),
            hide(2, "TIER"),
            hide(1, "BILLING"),
            hide(3, "ABOUT").right(),
            hide(4, "AT MOST").right(),
            wrap("WHY"),
        ]);
        for (at, row) in self.candidates.iter().enumerate() {
            candidates.add_row([
                Cell::new(at + 1),
                Cell::new(&row.platform),
                Cell::new(&row.model),
                Cell::new(row.tier),
                Cell::new(row.billing),
                Cell::new(dollars(row.about_usd)),
                Cell::new(dollars(row.at_most_usd)),
                Cell::new(printable(&row.reason)),
            ]);
        }
        let mut steps = Table::new([whole("STEP"), wrap("OUTCOME")]);
        for step in StageName::ALL {
            let mut outcomes = self.steps.iter().filter(|one| one.step == *step).peekable();
            if outcomes.peek().is_none() {
                steps.add_row([step.as_str(), "-"]);
            }
            for one in outcomes {
                steps.add_row([step.as_str(), &printable(&one.outcome)]);
            }
        }
        format!(
            "{}\n\n{}\n\nPrompt: about {} tokens, at most {}",
            candidates.fitted(width),
            steps.fitted(width),
            grouped(self.prompt_tokens.about),
            grouped(self.prompt_tokens.at_most)
        )
    }

    fn to_json(&self, explain: bool) -> Value {
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
    fn new(
        candidate: &Candidate<'_>,
        envelope: &Envelope,
        routing: &Routing,
        prompt: PromptTokens,
        now: DateTime<Utc>,
    ) -> Self {
        let model = candidate.model;
        let limits = AnswerLimits {
            prompt: Prompt::of(envelope).upper_bound(model),
            max_tokens: envelope.params.max_tokens,
            left: CostCap::for_job(envelope, routing).map(|cap| cap.amount),
            floor: routing.min_answer_tokens,
        };
        let answer = AnswerBound::new(model, limits, now);
        let typical = envelope.params.max_tokens.unwrap_or(TYPICAL_ANSWER);
        let about = Usage {
            input: prompt.about,
            output: u64::from(typical.min(answer.tokens)),
            ..Usage::default()
        };
        let mut reason = candidate.reason.to_string();
        for left_out in Asked::of(envelope).left_out_by(candidate.provider, model) {
            reason = format!("{reason}; {left_out}");
        }
        if answer.is_limited {
            let tokens = grouped(u64::from(answer.tokens));
            reason = format!("{reason}; answer limited to {tokens} tokens by its cost");
        }
        Self {
            platform: candidate.provider.name.to_string(),
            model: model.model.clone(),
            tier: model.tier,
            billing: candidate.provider.billing,
            reason,
            about_usd: model.cost(&about, now),
            at_most_usd: answer.cost,
        }
    }

    fn over(&self, cap: CostCap) -> String {
        format!(
            "{}/{}: it could cost ${}, and {} allows ${}",
            self.platform, self.model, self.at_most_usd, cap.set_by, cap.amount
        )
    }
}

impl Report {
    /// Whether every task has a candidate.
    pub(super) fn all_routed(&self) -> bool {
        self.tasks.iter().all(|task| task.error.is_none())
    }

    pub(super) fn to_json(&self, explain: bool) -> Value {
        let tasks: Vec<Value> = self
            .tasks
            .iter()
            .map(|task| task.to_json(explain))
            .collect();
        json!({"tasks": tasks})
    }

    pub(super) fn to_text(&self, explain: bool, width: Width) -> String {
        if let [only] = self.tasks.as_slice() {
            return only.to_text(explain, width);
        }
        let parts = self.tasks.iter().enumerate().map(|(at, task)| {
            let title = format!("Task {}: {}", at + 1, printable(&task.prompt));
            format!("{title}\n{}", task.to_text(explain, width))
        });
        parts.collect::<Vec<_>>().join("\n\n")
    }
}
