//! `longshore recipes list`.

use longshore_policy::recipes::{Recipe, Recipes};
use serde::Serialize;

use crate::{
    error::Exit,
    output::ListOutput,
    render::table::{Cell, Table, Width, hide, whole, wrap},
};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    #[command(flatten)]
    output: ListOutput,
}

/// The JSON of a recipe.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    description: Option<&'a str>,
    parameters: Vec<&'a str>,
    shipped: bool,
}

impl<'a> From<&'a Recipe> for Row<'a> {
    fn from(recipe: &'a Recipe) -> Self {
        Self {
            name: recipe.name.as_str(),
            description: recipe.description.as_deref(),
            parameters: recipe.parameters.keys().map(String::as_str).collect(),
            shipped: recipe.is_shipped,
        }
    }
}

pub(super) fn run(arguments: &Arguments, recipes: &Recipes) -> Exit {
    let rows: Vec<Row<'_>> = recipes.iter().map(|recipe| Row::from(&**recipe)).collect();
    arguments
        .output
        .print_rows(&rows, |width| table(&rows, width));
    Exit::Success
}

fn table(rows: &[Row<'_>], width: Width) -> String {
    let mut table = Table::new([
        whole("NAME"),
        hide(1, "PARAMETERS"),
        hide(2, "FROM"),
        wrap("DESCRIPTION"),
    ]);
    for row in rows {
        table.add_row([
            Cell::new(row.name),
            Cell::new(row.parameters.join(", ")),
            Cell::new(if row.shipped {
                "Longshore"
            } else {
                "configuration"
            }),
            Cell::new(row.description.unwrap_or("-")),
        ]);
    }
    table.fitted(width)
}

#[cfg(test)]
mod tests {
    use longshore_policy::recipes::shipped;

    use super::*;

    #[test]
    fn shipped_recipes_are_listed() {
        let recipes = shipped();
        let rows: Vec<Row<'_>> = recipes.iter().map(|recipe| Row::from(&**recipe)).collect();
        insta::assert_snapshot!(table(&rows, Width::of(120)), @"
        NAME                          PARAMETERS                              FROM       DESCRIPTION
        architectural                 max_tokens, models                      Longshore  Every platform answers, and one model
                                                                                         makes one answer of all, with every
                                                                                         perspective.
        classify-route-review         classifier, rubric                      Longshore  A model classifies the task, a model of
                                                                                         that level does it, another one reviews
                                                                                         it, and what it does not approve goes
                                                                                         to the next level.
        complex                       max_tokens, models, rubric, validators  Longshore  Two models answer, a third makes one
                                                                                         answer of theirs, and two others check
                                                                                         it.
        implement-and-review          area, context, risk                     Longshore  A model does a step of a plan, and a
                                                                                         model of another platform reviews it.
        implement-step                area, context, implement, risk          Longshore  A step of a plan is done and reviewed
                                                                                         in at most three rounds; then a person
                                                                                         decides about the last one.
        medium                        max_tokens, models, rubric              Longshore  Two models answer, a third makes one
                                                                                         answer of theirs, and another one
                                                                                         checks it.
        plan-and-review               area, risk                              Longshore  A model plans the task as JSON, and a
                                                                                         model of another platform reviews the
                                                                                         plan.
        plan-review-implement-review  area, implement, risk                   Longshore  A model plans, another reviews the plan
                                                                                         (revised at most twice), each step is
                                                                                         done by one model and reviewed by
                                                                                         another in at most three rounds, then
                                                                                         by a person.
        simple                        max_tokens, models                      Longshore  One model answers.
        work-and-review               level, reviewer, rubric                 Longshore  A model of a level does the task, and
                                                                                         another one reviews it. Repeated, each
                                                                                         round is of the next level.
        ");
    }
}
