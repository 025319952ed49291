//! The words of a job's `risk` and `complexity`.

use longshore_protocol::{envelope::RoutingInputs, platform::Tier};
use longshore_settings::suggest::closest;

use super::{Conditions, REVIEW_TYPE, Routing, Unroutable};

/// The job types that have a meaning without any rule.
const TASK_TYPES: [&str; 11] = [
    "code_generation",
    "research",
    "data_analysis",
    "refactoring",
    "documentation",
    "code_review",
    "sql_db_work",
    "testing",
    "debugging",
    "planning",
    REVIEW_TYPE,
];

impl Routing {
    /// Fails if a job's risk or complexity is a word that the configuration does not know.
    pub fn check_words(&self, inputs: &RoutingInputs) -> Result<(), Unroutable> {
        Words::new(self).tier(inputs).map(|_| ())
    }

    /// The known type that was probably meant by one that no rule names. Types are free, so an unknown one is no error.
    pub fn suggest_type(&self, task_type: &str) -> Option<&str> {
        if self.known_types().any(|known| known == task_type) {
            return None;
        }
        closest(task_type, self.known_types())
    }

    /// The types that a rule or a default names.
    pub(super) fn known_types(&self) -> impl Iterator<Item = &str> {
        let of_rules = self.rules.iter().flat_map(|rule| &rule.when.types);
        TASK_TYPES.into_iter().chain(of_rules.map(String::as_str))
    }
}

/// The words that the configuration knows, in lower case.
#[derive(Debug)]
pub(super) struct Words {
    /// The tier of each word of either field.
    tiers: Vec<(String, Tier)>,
    /// The words that rules have for each field.
    risks: Vec<String>,
    complexities: Vec<String>,
}

impl Words {
    pub(super) fn new(routing: &Routing) -> Self {
        let of_rules = |words: fn(&Conditions) -> &Vec<String>| {
            let rules = routing.rules.iter();
            rules.flat_map(|rule| words(&rule.when)).cloned().collect()
        };
        Self {
            tiers: routing.tiers.clone(),
            risks: of_rules(|when| &when.risks),
            complexities: of_rules(|when| &when.complexities),
        }
    }

    /// The higher of the tiers that the job's risk and complexity require. An unknown word is refused: a
    /// typing error must not route a job as if it had none.
    pub(super) fn tier(&self, inputs: &RoutingInputs) -> Result<Option<Tier>, Unroutable> {
        let risk = self.tier_of("risk", inputs.risk.as_deref(), &self.risks)?;
        let complexity = inputs.complexity.as_deref();
        let complexity = self.tier_of("complexity", complexity, &self.complexities)?;
        let tiers = risk.into_iter().chain(complexity);
        Ok(tiers.max_by_key(|tier| tier.rank()))
    }

    fn tier_of(
        &self,
        field: &str,
        word: Option<&str>,
        of_rules: &[String],
    ) -> Result<Option<Tier>, Unroutable> {
        let Some(word) = word else {
            return Ok(None);
        };
        let mut tiers = self.tiers.iter();
        if let Some((_, tier)) = tiers.find(|(known, _)| known.eq_ignore_ascii_case(word)) {
            return Ok(Some(*tier));
        }
        if of_rules
            .iter()
            .any(|known| known.eq_ignore_ascii_case(word))
        {
            return Ok(None);
        }
        let tiers = self.tiers.iter().map(|(known, _)| known.as_str());
        let mut known: Vec<&str> = tiers.chain(of_rules.iter().map(String::as_str)).collect();
        known.sort_unstable();
        known.dedup();
        let near = closest(&word.to_lowercase(), known.iter().copied())
            .map(|near| format!("did you mean `{near}`? "))
            .unwrap_or_default();
        Err(Unroutable::new(format!(
            "{field} `{word}` is not known; {near}expected one of {}, or a word of your own under \
             `routing.tiers` in longshore.yaml",
            known.join(", ")
        )))
    }
}
