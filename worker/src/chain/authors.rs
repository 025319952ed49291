//! The authors of earlier answers, who may not answer a step with `not_by`.

use longshore_policy::routing::Candidate;
use longshore_protocol::{
    chain::{
        AuthorPart, ModelName, NotBy,
        template::{StepAnswers, TemplateScope},
    },
    outcome::Outcome,
};

/// Who wrote the answers of the steps that `not_by` names.
#[derive(Debug)]
pub(crate) struct Authors {
    part: AuthorPart,
    authors: Vec<ModelName>,
}

impl Authors {
    /// The authors of the steps, whose outcomes are in the scope. A step that merged several answers has several.
    pub(super) fn of(not_by: &NotBy, scope: &TemplateScope) -> Self {
        let answers = not_by.steps.iter().filter_map(|step| scope.steps.get(step));
        let outcomes = answers.flat_map(|answers| match answers {
            StepAnswers::One(outcome) => outcome.iter().collect::<Vec<_>>(),
            StepAnswers::Many(items) => items.iter().map(|(_, outcome)| outcome).collect(),
        });
        let mut authors: Vec<ModelName> = outcomes.flat_map(of_outcome).collect();
        authors.sort();
        authors.dedup();
        Self {
            part: not_by.part,
            authors,
        }
    }

    pub(crate) fn may_answer(&self, candidate: &Candidate<'_>) -> bool {
        let is_author = |author: &ModelName| match self.part {
            AuthorPart::Platform => author.platform == candidate.provider.name.as_str(),
            AuthorPart::Model => author.model == candidate.model.model,
        };
        !self.authors.iter().any(is_author)
    }

    /// Why nobody is left, for people.
    pub(crate) fn refusal(&self) -> String {
        let authors: Vec<String> = self.authors.iter().map(ToString::to_string).collect();
        format!(
            "no other {} can answer: `not_by` leaves out {}",
            self.part,
            authors.join(", ")
        )
    }
}

fn of_outcome(outcome: &Outcome) -> Vec<ModelName> {
    let merged = outcome.merged.iter().flat_map(|merged| &merged.answers);
    let merged = merged
        .filter(|answer| answer.success)
        .map(|answer| (&answer.platform, &answer.model));
    let all = std::iter::once((&outcome.platform, &outcome.model)).chain(merged);
    all.filter_map(|(platform, model)| {
        Some(ModelName {
            platform: platform.clone()?,
            model: model.clone()?,
        })
    })
    .collect()
}
