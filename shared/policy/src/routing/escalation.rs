//! Escalation: the candidates of higher tiers for a job that the models of its route have failed.

use longshore_protocol::{envelope::Envelope, platform::Tier};

use super::{Decision, PromptTokens, Router, StageName, draft::Draft, market::CandidateIndex};

impl Router {
    /// The candidates of the next tier above `failed` that has any; `None` if no tier has. Models that an
    /// earlier tier has called are not called again. A job that allows no other platform (`fallback: false`)
    /// stays on its own.
    pub fn escalate(
        &self,
        envelope: &Envelope,
        prompt: PromptTokens,
        failed: Tier,
    ) -> Option<Decision<'_>> {
        let route = self.draft(envelope, prompt).ok()?;
        let only = if envelope.fallback {
            None
        } else {
            Some(route.indexes.first()?.provider)
        };
        let lowest = route.indexes.iter().map(|index| self.rank(*index)).min()?;
        let mut called: Vec<CandidateIndex> = route.indexes.to_vec();
        let higher = Tier::ALL.iter().filter(|tier| tier.rank() > lowest);
        for (tier, order) in higher.filter_map(|tier| Some((*tier, self.of_tier(*tier)?))) {
            let mut draft = Draft::like(order);
            let words = format!("models of the tier {failed} have failed it");
            draft.record_first(StageName::Escalation, words);
            draft.indexes.to_mut().retain(|index| {
                only.is_none_or(|provider| index.provider == provider)
                    && !called.iter().any(|other| other.model == index.model)
            });
            if draft.indexes.is_empty() || self.fit(&mut draft, envelope, prompt).is_err() {
                continue;
            }
            if tier.rank() > failed.rank() {
                return Some(Decision {
                    level: Some(tier),
                    ..draft.decision(&self.market)
                });
            }
            called.extend(draft.indexes.iter().copied());
        }
        None
    }

    fn rank(&self, index: CandidateIndex) -> u8 {
        let model = self.market.model(index);
        model.map_or(0, |model| model.tier.rank())
    }
}
