//! The tables of the orchestrators that the shipped recipes were made after, row by row: whom each recipe asks.

use std::{fs, path::Path};

use longshore_config::Config;
use longshore_policy::{
    recipes::{Explainer, Explanation},
    routing::Router,
};
use longshore_protocol::{chain::template::RecipeInputs, recipe::RecipeName};
use longshore_settings::Environment;
use serde_json::{Value, json};

const FOUR: [&str; 4] = ["ANTHROPIC", "GOOGLE", "OPENAI", "XAI"];

fn config(keys: &[&str]) -> Config {
    let keys = keys.iter().map(|key| (format!("{key}_API_KEY"), "secret"));
    Config::from_yaml(
        &Environment::from_pairs(keys),
        Path::new("longshore.yaml"),
        "",
    )
    .unwrap()
}

/// The recipe as a job calls it, in so many rounds.
fn explained(
    config: &Config,
    recipe: &str,
    job: &Value,
    given: &Value,
    rounds: u32,
) -> Explanation {
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let explainer = Explainer {
        recipes: &config.recipes,
        catalog: &config.catalog,
        routing: &config.routing,
        router: &Router::new(&config.catalog, &config.routing, now_date()),
        limits: &config.limits,
        now,
    };
    let recipe = config
        .recipes
        .get(&RecipeName::parse(recipe).unwrap())
        .unwrap();
    let inputs = RecipeInputs {
        job: job.as_object().unwrap().clone(),
        parameters: recipe.parameters(given.as_object().unwrap()).unwrap(),
        round: 1,
    };
    explainer.job(recipe, &inputs, rounds).unwrap()
}

/// A day on which all the models are there that these tests name.
fn now_date() -> chrono::NaiveDate {
    "2026-11-21".parse().unwrap()
}

/// Whom each step asks.
fn asks(explained: &Explanation) -> Vec<(String, Vec<String>)> {
    let steps = explained.steps.iter();
    steps
        .map(|step| {
            assert_eq!(step.error, None, "{step:?}");
            (step.name.to_string(), step.asks.clone())
        })
        .collect()
}

/// The platform of `PLATFORM/MODEL`.
fn platform(name: &str) -> &str {
    name.split_once('/').unwrap().0
}

#[test]
fn the_table_of_modes() {
    let config = config(&FOUR);
    for (mode, models, merges, validators) in [
        ("simple", 1, 0, 0),
        ("medium", 2, 1, 1),
        ("complex", 2, 1, 2),
        ("architectural", 4, 1, 0),
    ] {
        let explained = explained(&config, mode, &json!({"prompt": "x"}), &json!({}), 1);
        let mut asked = [0, 0, 0];
        for (step, models) in asks(&explained) {
            let part = match step.as_str() {
                "answer_models" => 0,
                "answer" => 1,
                _ => 2,
            };
            asked[part] += models.len();
        }
        assert_eq!(asked, [models, merges, validators], "{mode}");
        assert!(!explained.may_cost_more, "{mode}");
    }
}

#[test]
fn the_table_of_categories() {
    let config = config(&FOUR);
    for (prompt, primaries, validator) in [
        ("a react component", ["gemini", "anthropic"], "openai"),
        ("an api endpoint", ["anthropic", "openai"], "gemini"),
        ("docker and kubernetes", ["openai", "xai"], "anthropic"),
        ("a bash script", ["openai", "gemini"], "anthropic"),
        ("an etl pipeline", ["openai", "anthropic"], "gemini"),
        (
            "the architecture and its scale",
            ["xai", "anthropic"],
            "openai",
        ),
    ] {
        let explained = explained(&config, "medium", &json!({"prompt": prompt}), &json!({}), 1);
        let asks = asks(&explained);
        let primary: Vec<&str> = asks[0].1.iter().map(|name| platform(name)).collect();
        assert_eq!(primary, primaries, "{prompt}");
        let checks = &asks.last().unwrap().1;
        assert_eq!(platform(&checks[0]), validator, "{prompt}");
    }
}

#[test]
fn the_table_of_roles() {
    const SONNET: &str = "anthropic/claude-sonnet-5-5";
    const PRO: &str = "gemini/gemini-2.5-pro";
    const FLASH: &str = "gemini/gemini-2.5-flash";
    let config = config(&FOUR);
    for (risk, area, planner, implementer) in [
        ("high", "core", SONNET, SONNET),
        ("high", "math", SONNET, SONNET),
        ("high", "api", PRO, SONNET),
        ("high", "services", PRO, SONNET),
        ("medium", "tests", PRO, PRO),
        ("medium", "api", PRO, PRO),
        ("low", "docs", FLASH, FLASH),
        ("low", "comments", FLASH, FLASH),
    ] {
        let given = json!({"risk": risk, "area": area});
        for (recipe, role, expected) in [
            ("plan-and-review", "plan", planner),
            ("implement-and-review", "work", implementer),
        ] {
            let explained = explained(&config, recipe, &json!({"prompt": "x"}), &given, 1);
            let asks = asks(&explained);
            let [(first, author), (second, reviewer)] = asks.as_slice() else {
                panic!("{asks:?}");
            };
            assert_eq!((first.as_str(), second.as_str()), (role, "review"));
            assert_eq!(author.as_slice(), [expected], "{risk} {area} {role}");
            assert_ne!(
                platform(&reviewer[0]),
                platform(&author[0]),
                "{risk} {area}"
            );
        }
        // The whole recipe asks the same planner.
        let whole = explained(
            &config,
            "plan-review-implement-review",
            &json!({"prompt": "x", "risk": risk, "area": area}),
            &json!({}),
            1,
        );
        assert_eq!(asks(&whole)[0].1[0], planner, "{risk} {area}");
    }
}

#[test]
fn the_table_of_escalation() {
    let config = config(&FOUR);
    let tier = |name: &str| {
        let models = config.catalog.require_model(name).unwrap();
        models[0].tier.to_string()
    };
    for (level, tiers) in [
        (0, ["fast", "standard", "advanced"]),
        (1, ["standard", "advanced", "advanced"]),
        (2, ["advanced", "advanced", "advanced"]),
    ] {
        let given = json!({"level": level});
        let explained = explained(
            &config,
            "work-and-review",
            &json!({"prompt": "x"}),
            &given,
            3,
        );
        let asks = asks(&explained);
        let work = asks.iter().filter(|(step, _)| step == "work");
        let work: Vec<String> = work.map(|(_, asks)| tier(&asks[0])).collect();
        assert_eq!(work, tiers, "level {level}");
    }
}

#[test]
fn the_table_of_presets() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/presets");
    let keys = [
        "ANTHROPIC",
        "DEEPSEEK",
        "GOOGLE",
        "MINIMAX",
        "MOONSHOT",
        "OPENAI",
        "XAI",
        "ZHIPU",
    ];
    let keys = keys.map(|key| (format!("{key}_API_KEY"), "k"));
    let env = Environment::from_pairs(keys);
    // Who classifies and reviews, how many others are enabled, and whether routine work goes to cheaper ones.
    for (preset, classifier, others, saves) in [
        ("save-money", "deepseek/deepseek-v4-flash", 7, true),
        ("max-quality", "anthropic/claude-opus-5-5", 0, false),
        ("balanced", "anthropic/claude-sonnet-5-5", 2, true),
        ("testing", "anthropic/claude-sonnet-5-5", 7, true),
    ] {
        let path = folder.join(format!("{preset}.yaml"));
        let text = fs::read_to_string(&path).unwrap();
        let config = Config::from_yaml(&env, &path, &text).unwrap();
        let job = json!({"prompt": "x"});
        let classify = explained(&config, "classify-route-review", &job, &json!({}), 1);
        assert_eq!(asks(&classify)[0].1, [classifier], "{preset}");
        let given = json!({"level": 0, "reviewer": classifier});
        let work = explained(&config, "work-and-review", &job, &given, 1);
        let work = asks(&work);
        assert_eq!(work[1].1, [classifier], "{preset}");
        assert_eq!(config.catalog.enabled().count(), others + 1, "{preset}");
        assert_eq!(platform(&work[0].1[0]) != "anthropic", saves, "{preset}");
    }
}
