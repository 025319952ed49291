//! Recipes: named chains with parameters, which the configuration defines and a job calls by name
//! (`docs/PROTOCOL.md`, "Recipes").

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{chain::ChainId, checkpoint::Spent};

/// The longest name of a recipe: with a job's id before it, it is still a valid chain id.
const LONGEST_NAME: usize = 32;

/// How deep recipes may call one another; the job's own recipe is the first.
pub const MAX_NESTED: u32 = 4;

/// The most rounds of a repetition.
pub const MAX_ROUNDS: u32 = 20;

/// The name of a recipe: a lower-case letter, then lower-case letters, digits, `-` or `_`, at most 32 in all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecipeName(String);

/// A name of an invalid form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("recipe name `{0}` is not valid: expected {EXPECTED_NAME}")]
pub struct BadRecipeName(String);

/// The form of a name, for messages.
pub const EXPECTED_NAME: &str =
    "a lower-case letter, then lower-case letters, digits, `-` or `_`, at most 32 in all";

impl RecipeName {
    pub fn parse(value: &str) -> Result<Self, BadRecipeName> {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if value.starts_with(|c: char| c.is_ascii_lowercase())
            && value.len() <= LONGEST_NAME
            && value.chars().all(allowed)
        {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadRecipeName(
                value.chars().take(LONGEST_NAME + 10).collect(),
            ))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a job says about the recipe that answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeCall {
    pub name: RecipeName,
    /// Values of the recipe's parameters; the others have their defaults.
    pub parameters: Map<String, Value>,
    pub repeat: Option<Repeat>,
}

/// Runs the recipe again, in rounds, until a condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// An expression that reads the steps of the round that ended.
    pub until: String,
    /// The most rounds, 1 to [`MAX_ROUNDS`].
    pub at_most: u32,
}

/// What a job that is answered by a recipe remembers. Part of its checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeProgress {
    /// The chain of the round that runs or ran last.
    pub chain: ChainId,
    /// Its number, from 1.
    pub round: u32,
    /// Of the job's replays from the dead letters, the one that ran the chain again last.
    #[serde(default)]
    pub replays: u32,
    /// What the rounds before it spent.
    #[serde(default)]
    pub earlier: Spent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        for name in ["medium", "plan-review", "a_1"] {
            assert_eq!(RecipeName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "Medium", "1st", "a b", "a/b", "a.b", &"x".repeat(33)] {
            assert!(RecipeName::parse(name).is_err(), "{name}");
        }
    }
}
