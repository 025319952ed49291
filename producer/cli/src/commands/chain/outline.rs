//! Which steps a chain has, and what they need: enough to draw it.

use longshore_shared::chain::StepName;
use serde::Deserialize;

/// The steps of a document, in its order. It was checked when its chain began: here, what cannot be read is left out.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Outline {
    #[serde(default)]
    pub(super) steps: Vec<Planned>,
}

/// A step, as its document has it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Planned {
    pub(super) name: StepName,
    #[serde(default)]
    needs: Vec<StepName>,
    #[serde(default)]
    gather: Option<StepName>,
}

impl Planned {
    /// What has to be done before it.
    pub(super) fn needs(&self) -> Vec<StepName> {
        let mut needs = self.needs.clone();
        let gathered = self.gather.iter().filter(|step| !self.needs.contains(step));
        needs.extend(gathered.cloned());
        needs
    }
}

impl Outline {
    pub(super) fn of(document: &str) -> Self {
        serde_json::from_str(document).unwrap_or_default()
    }
}
