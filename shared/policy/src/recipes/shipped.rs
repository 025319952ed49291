//! The recipes that Longshore ships.

use std::path::Path;

use longshore_protocol::{envelope::MessageLimits, recipe::RecipeName};
use longshore_settings::{Booleans, yaml::load};

use super::{Recipe, Recipes};

const TEXTS: &[(&str, &str)] = &[
    ("simple", include_str!("shipped/simple.yaml")),
    ("medium", include_str!("shipped/medium.yaml")),
    ("complex", include_str!("shipped/complex.yaml")),
    ("architectural", include_str!("shipped/architectural.yaml")),
    (
        "classify-route-review",
        include_str!("shipped/classify-route-review.yaml"),
    ),
    (
        "implement-and-review",
        include_str!("shipped/implement-and-review.yaml"),
    ),
    (
        "implement-step",
        include_str!("shipped/implement-step.yaml"),
    ),
    (
        "plan-and-review",
        include_str!("shipped/plan-and-review.yaml"),
    ),
    (
        "plan-review-implement-review",
        include_str!("shipped/plan-review-implement-review.yaml"),
    ),
    (
        "work-and-review",
        include_str!("shipped/work-and-review.yaml"),
    ),
];

/// The recipes that Longshore ships. The tests read each of them.
pub fn shipped() -> Recipes {
    let mut recipes = Recipes::default();
    for (name, text) in TEXTS {
        if let Ok(recipe) = read(name, text) {
            recipes.insert(recipe);
        }
    }
    recipes
}

/// Reads a shipped recipe; an error is a mistake in this repository.
pub(super) fn read(name: &str, text: &str) -> Result<Recipe, String> {
    let file = format!("{name}.yaml");
    let node = load(Path::new(&file), text, Booleans::Strict).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(&node).map_err(|error| error.to_string())?;
    let name = RecipeName::parse(name).map_err(|error| error.to_string())?;
    let recipe = Recipe::read(name, &written, &MessageLimits::default())
        .map_err(|faults| faults.join("; "))?;
    Ok(Recipe {
        is_shipped: true,
        ..recipe
    })
}

#[cfg(test)]
pub(super) fn texts() -> &'static [(&'static str, &'static str)] {
    TEXTS
}
