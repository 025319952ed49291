//! The preferred platform of a job.

use longshore_protocol::envelope::Envelope;

use super::{Router, StageName, Unroutable, draft::Draft, market::Why};

impl Router {
    /// Moves the hinted platform to the front, with the model that was chosen for it. A hint is
    /// advisory: one that cannot be followed leaves the order unchanged, unless the job allows no
    /// fallback.
    pub(super) fn hint<'a>(
        &'a self,
        draft: &mut Draft<'a>,
        hint: &str,
        envelope: &Envelope,
    ) -> Result<(), Unroutable> {
        let platform = self.market.catalog.require_platform(hint);
        let at = platform.as_ref().ok().and_then(|platform| {
            let hinted = |name| name == &platform.name;
            draft.indexes.iter().position(|index| {
                self.market
                    .provider(*index)
                    .is_some_and(|provider| hinted(&provider.name))
            })
        });
        if let Some(at) = at {
            let indexes = draft.indexes.to_mut();
            let mut first = indexes.remove(at);
            if envelope.model.is_none() {
                first.why = Why::Hinted;
            }
            indexes.insert(0, first);
            draft.record(
                StageName::Hint,
                format!("{} first", self.market.called(first)),
            );
            return Ok(());
        }
        let why = match platform {
            Err(unknown) => unknown.to_string(),
            Ok(platform) if platform.is_on() => match &envelope.model {
                Some(model) => format!("platform `{hint}` does not serve model `{model}`"),
                None => self.market.without_default(platform),
            },
            Ok(platform) => platform.state(),
        };
        if !envelope.fallback {
            return Err(Unroutable::alone(&why));
        }
        draft.record(StageName::Hint, why.clone());
        draft.note = Some(why);
        Ok(())
    }
}
