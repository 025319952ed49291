use longshore_protocol::{
    chain::template::RecipeInputs, envelope::MessageLimits, recipe::RecipeName,
};
use serde_json::{Value, json};

use super::{Recipe, Recipes, shipped};

fn read(name: &str, written: &Value) -> Result<Recipe, Vec<String>> {
    let name = RecipeName::parse(name).unwrap();
    Recipe::read(name, written, &MessageLimits::default())
}

fn inputs(recipe: &Recipe, given: &Value) -> RecipeInputs {
    RecipeInputs {
        parameters: recipe.parameters(given.as_object().unwrap()).unwrap(),
        ..RecipeInputs::default()
    }
}

#[test]
fn every_shipped_recipe_is_valid() {
    for (name, text) in shipped::texts() {
        let recipe = shipped::read(name, text).unwrap();
        assert!(recipe.description.is_some(), "{name}");
    }
    let all = super::shipped();
    assert_eq!(all.iter().count(), shipped::texts().len());
    assert_eq!(all.check_calls(), []);
}

#[test]
fn parameters_are_filled_in_with_their_form() {
    let recipe = read(
        "ask",
        &json!({
            "parameters": {"models": 2, "model": null, "label": {"description": "a name"}},
            "steps": [{
                "name": "a",
                "prompt": "{{ job.prompt }} {{ parameters.label }}",
                "models": "{{ parameters.models }}",
                "metadata": {"label": "is {{ parameters.label }}", "none": "{{ parameters.model }}"},
            }],
        }),
    )
    .unwrap();
    let inputs = inputs(&recipe, &json!({"models": 3, "label": "x"}));
    let expanded = recipe.expand(&inputs, &MessageLimits::default()).unwrap();
    let text: Value = serde_json::from_str(&expanded.text).unwrap();
    assert_eq!(
        text,
        json!({"steps": [{
            "name": "a",
            "prompt": "{{ job.prompt }} {{ parameters.label }}",
            "models": 3,
            "metadata": {"label": "is x"},
        }]})
    );
}

#[test]
fn wrong_parameters_are_all_named() {
    let recipe = read(
        "ask",
        &json!({
            "parameters": {"count": 2, "label": {}},
            "steps": [{"name": "a", "prompt": "x"}],
        }),
    )
    .unwrap();
    let given = json!({"cuont": 1});
    let wrong = recipe.parameters(given.as_object().unwrap()).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "recipe `ask`: it has no parameter `cuont`; did you mean `count`?; it needs the parameter `label`"
    );
}

#[test]
fn wrong_recipes_say_what_is_wrong() {
    for (written, expected) in [
        (
            json!([]),
            "expected a map of `steps` and what else a recipe has",
        ),
        (
            json!({"stesp": []}),
            "`stesp` is not a field; did you mean `steps`?",
        ),
        (
            json!({"steps": [{"name": "a", "prompt": "{{ steps.b.output }}"}]}),
            "step `a`: field `prompt`: `steps.b`: there is no step `b`",
        ),
        (
            json!({"steps": [{"name": "a", "prompt": "x", "platform": "{{ parameters.nope }}"}]}),
            "`steps[1].platform`: `parameters.nope` has no value",
        ),
        (
            json!({"answer": "b", "steps": [{"name": "a", "prompt": "x"}]}),
            "`answer`: expected a step that does not fan out, but got `b`",
        ),
        (
            json!({"steps": [{"name": "a", "prompt": "{{ last.b.output }}"}]}),
            "step `a`: field `prompt`: `last.b`: there is no step `b`",
        ),
    ] {
        assert_eq!(read("ask", &written).unwrap_err(), [expected], "{written}");
    }
}

#[test]
fn calls_must_end() {
    let mut recipes = Recipes::default();
    for (name, callee) in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "nope")] {
        let written = json!({"steps": [{"name": "s", "prompt": "x", "recipe": callee}]});
        recipes.insert(read(name, &written).unwrap());
    }
    let faults = recipes.check_calls();
    let faults: Vec<String> = faults
        .iter()
        .map(|(name, fault)| format!("{name}: {fault}"))
        .collect();
    assert_eq!(
        faults,
        [
            "a: recipes call one another in a circle: a → b → c → a",
            "b: recipes call one another in a circle: b → c → a → b",
            "c: recipes call one another in a circle: c → a → b → c",
            "d: step `s`: there is no recipe `nope`; known: a, b, c, d",
        ]
    );
}
