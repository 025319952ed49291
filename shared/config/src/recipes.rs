//! Reads the sections `recipes:` and `recipe_files:`.

use std::path::Path;

use longshore_policy::recipes::{KnownNames, Recipe, Recipes};
use longshore_protocol::{envelope::MessageLimits, recipe::RecipeName};
use longshore_settings::{Entries, Node, Reader, Text, part};

use crate::Config;

part! {
    /// A file of recipes alone.
    struct RawRecipes {
        recipes: Option<Entries<Node>>,
    }
}

/// The shipped recipes, with the model that classifies.
pub(crate) fn shipped(cto_model: Option<&str>) -> Recipes {
    let mut recipes = longshore_policy::recipes::shipped();
    if let Some(model) = cto_model {
        recipes.set_default("classify-route-review", "classifier", model.into());
    }
    recipes
}

/// The recipes: the shipped ones, those of `recipe_files`, and those of `recipes`. Of one name, the last counts.
pub(crate) fn recipes(
    r: &mut Reader<'_>,
    shipped: Recipes,
    own: &Entries<Node>,
    files: &[Text],
    limits: &MessageLimits,
) -> Recipes {
    let mut recipes = shipped;
    let problems_before = r.problem_count();
    for written in files {
        read_file(r, written, limits, &mut recipes);
    }
    add(r, own, limits, &mut recipes);
    // A call to a recipe that could not be read is no further fault.
    if r.problem_count() == problems_before {
        report(r, own, files, recipes.check_calls());
    }
    recipes
}

/// Reports what the recipes and the setting `cto_model` name that the configuration does not have.
pub(crate) fn check_names(
    r: &mut Reader<'_>,
    own: &Entries<Node>,
    files: &[Text],
    known: KnownNames<'_>,
    config: &Config,
) {
    let faults = config.recipes.check_names(known, &config.limits);
    report(r, own, files, faults);
    if let (Some(model), Some(catalog)) = (&config.cto_model, known.catalog)
        && let Err(error) = catalog.require_model(model)
    {
        r.problem_with_settings(&["cto_model"], format!("`cto_model`: {error}"));
    }
}

/// Reports faults of recipes where they stand, or else at the files of recipes.
fn report(
    r: &mut Reader<'_>,
    own: &Entries<Node>,
    files: &[Text],
    faults: Vec<(RecipeName, String)>,
) {
    for (name, fault) in faults {
        let mut keys = own.0.iter().map(|(key, _)| key);
        let place = keys.find(|key| key.as_str() == name.as_str());
        let place = place.or(files.first());
        r.problem_near(place, format!("`recipes.{name}`: {fault}"));
    }
}

/// The recipes of a file. A relative path starts at the configuration's directory.
fn read_file(r: &mut Reader<'_>, written: &Text, limits: &MessageLimits, recipes: &mut Recipes) {
    let Some(path) = r.resolve("recipe_files", Some(written), written.as_str()) else {
        return;
    };
    let path = r.beside(Path::new(&path));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let text = format!("`recipe_files`: {} cannot be read: {error}", path.display());
            return r.problem_at(written, text);
        }
    };
    let Some(file) = r.parse::<RawRecipes>(&path, &text) else {
        return;
    };
    r.within(&path, |r| {
        add(r, &file.recipes.unwrap_or_default(), limits, recipes);
    });
}

fn add(r: &mut Reader<'_>, entries: &Entries<Node>, limits: &MessageLimits, recipes: &mut Recipes) {
    for (key, node) in &entries.0 {
        let path = format!("recipes.{}", key.as_str());
        let read = match (RecipeName::parse(key.as_str()), serde_json::to_value(node)) {
            (Ok(name), Ok(written)) => Recipe::read(name, &written, limits),
            (Err(bad), _) => Err(vec![bad.to_string()]),
            (_, Err(bad)) => Err(vec![bad.to_string()]),
        };
        match read {
            Ok(recipe) => {
                r.record_origin(&path, key);
                recipes.insert(recipe);
            }
            Err(faults) => {
                for fault in faults {
                    r.problem_at(key, format!("`{path}`: {fault}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use longshore_protocol::recipe::RecipeName;
    use longshore_settings::Environment;
    use serde_json::Map;

    use super::super::Config;

    fn load(yaml: &str) -> Result<Config, String> {
        Config::from_yaml(&Environment::default(), Path::new("longshore.yaml"), yaml)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn own_recipes_stand_beside_the_shipped_ones_and_replace_them() {
        let config = load(
            "recipes:
  medium: { description: Mine., steps: [{ name: a, prompt: '{{ job.prompt }}' }] }
  twice: { parameters: { n: 2 }, steps: [{ name: a, prompt: x, models: '{{ parameters.n }}' }] }
",
        )
        .unwrap();
        let recipe = |name| {
            config
                .recipes
                .get(&RecipeName::parse(name).unwrap())
                .unwrap()
        };
        assert!(recipe("simple").is_shipped);
        assert!(!recipe("medium").is_shipped);
        let shown = config.shown();
        let shown = shown
            .iter()
            .filter(|line| line.name.starts_with("recipes."));
        let shown: Vec<String> = shown
            .map(|line| format!("{}: {}", line.name, line.value))
            .collect();
        assert_eq!(
            shown,
            ["recipes.medium: Mine.", "recipes.twice: parameters n"]
        );
    }

    #[test]
    fn the_shipped_recipe_classifies_by_the_configured_model() {
        let config = load("cto_model: deepseek-v4-flash\n").unwrap();
        let name = RecipeName::parse("classify-route-review").unwrap();
        let recipe = config.recipes.get(&name).unwrap();
        let document = recipe.example(&Map::new(), 1, &config.limits).unwrap();
        let classify = &document.document.steps[0];
        assert!(
            classify
                .work
                .job
                .contains("\"model\":\"deepseek-v4-flash\""),
            "{}",
            classify.work.job
        );
    }

    #[test]
    fn files_may_hold_recipes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("mine.yaml");
        fs::write(
            &file,
            "recipes:\n  own: { steps: [{ name: a, prompt: x }] }\n",
        )
        .unwrap();
        let path = directory.path().join("longshore.yaml");
        let yaml = "recipe_files: [mine.yaml]\n";
        let config = Config::from_yaml(&Environment::default(), &path, yaml).unwrap();
        assert!(
            config
                .recipes
                .get(&RecipeName::parse("own").unwrap())
                .is_some()
        );
        let error = load("recipe_files: [nope.yaml]\n").unwrap_err();
        assert!(
            error.starts_with("longshore.yaml:1: `recipe_files`: nope.yaml cannot be read"),
            "{error}"
        );
    }

    #[test]
    fn names_that_the_configuration_does_not_have_are_all_reported() {
        let error = load(
            "cto_model: deepseek-v4-flsh
gates: { rust: { command: [cargo, test], working_dir: / } }
workspaces: { app: { directory: / } }
recipes:
  one:
    parameters: { model: gpt-4o-mini, from_the_job: { default: null } }
    steps:
      - { name: a, prompt: x, model: '{{ parameters.model }}', platform: '{{ parameters.from_the_job }}' }
      - { name: b, prompt: x, platform: antropic, model: 'gpt-4o-mni' }
      - { name: c, prompt: x, models: [gemni, gpt-4o] }
      - { name: d, prompt: x, models: { category: bakend }, merge: { by: best_of, judge: { platform: grk } } }
      - { name: e, gate: rsut }
  two:
    steps:
      - { name: a, prompt: x, tools: [read_file, deploy], workspace: ap }
      - { name: b, prompt: x, platform: '{{ job.metadata.platform }}' }
",
        )
        .unwrap_err();
        insta::assert_snapshot!(error, @"
        longshore.yaml:1: `cto_model`: model `deepseek-v4-flsh` is not in the catalog; did you mean `deepseek-v4-flash`? `longshore models list` shows all
        longshore.yaml:5: `recipes.one`: step `b`: there is no platform `antropic`; did you mean `anthropic`?
        longshore.yaml:5: `recipes.one`: step `b`: model `gpt-4o-mni` is not in the catalog; did you mean `gpt-4o-mini`? `longshore models list` shows all
        longshore.yaml:5: `recipes.one`: step `c`: there is no platform or model `gemni`; did you mean `gemini`?
        longshore.yaml:5: `recipes.one`: step `d_models`: there is no category `bakend`; did you mean `backend`?
        longshore.yaml:5: `recipes.one`: step `d`: there is no platform `grk`; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli
        longshore.yaml:5: `recipes.one`: step `e`: there is no gate `rsut`; did you mean `rust`?
        longshore.yaml:13: `recipes.two`: step `a`: there is no workspace `ap`; did you mean `app`?
        longshore.yaml:13: `recipes.two`: step `a`: there is no tool `deploy`; add it under `tools`
        ");
    }

    #[test]
    fn every_fault_is_reported_where_its_recipe_stands() {
        let error = load(
            "recipes:
  Bad: { steps: [] }
  one: { stesp: [] }
  two:
    steps:
      - { name: a, prompt: x, needs: [b], platform: '{{ parameters.p }}' }
",
        )
        .unwrap_err();
        insta::assert_snapshot!(error, @r"
        longshore.yaml:2: `recipes.Bad`: recipe name `Bad` is not valid: expected a lower-case letter, then lower-case letters, digits, `-` or `_`, at most 32 in all
        longshore.yaml:3: `recipes.one`: `stesp` is not a field; did you mean `steps`?
        longshore.yaml:4: `recipes.two`: `steps[1].platform`: `parameters.p` has no value
        longshore.yaml:4: `recipes.two`: step `a`: field `needs`: there is no step `b`
        ");
        let error = load("recipes:\n  a: { steps: [{ name: s, prompt: x, recipe: medum }] }\n")
            .unwrap_err();
        insta::assert_snapshot!(error, @"longshore.yaml:2: `recipes.a`: step `s`: there is no recipe `medum`; did you mean `medium`?; known: a, architectural, classify-route-review, complex, implement-and-review, implement-step, medium, plan-and-review, plan-review-implement-review, simple, work-and-review");
    }
}
