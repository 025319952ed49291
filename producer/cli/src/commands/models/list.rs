//! `longshore models list`.

use chrono::NaiveDate;
use longshore_policy::catalog::{Catalog, ModelEntry};
use longshore_protocol::{
    clock::local_time,
    money::Usd,
    platform::{Capability, PlatformName, Tier},
};
use rust_decimal::Decimal;
use serde::Serialize;

use super::{
    price::{PriceDocument, per_thousand},
    wanted::Wanted,
};
use crate::{
    error::{CommandError, Exit},
    output::{self, ListFormat, ListOutput},
    render::table::{Cell, Table, Width, hide, number, whole},
};

#[derive(Debug, Default, clap::Args)]
pub(in crate::commands) struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
    /// Maximum dollars per 1K input tokens: 0.01 is $10 per million
    #[arg(long, value_name = "USD", value_parser = dollar_amount)]
    max_cost: Option<Usd>,
    /// Only models of this platform
    #[arg(long)]
    platform: Option<String>,
    /// Include withdrawn models and disabled platforms
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: ListOutput,
}

fn dollar_amount(text: &str) -> Result<Usd, String> {
    text.parse()
        .ok()
        .filter(|cost| *cost >= Usd::ZERO)
        .ok_or_else(|| "expected an amount of dollars, such as 0.01".to_owned())
}

/// The JSON of a model.
#[derive(Debug, Serialize)]
struct Model<'a> {
    platform: &'a str,
    name: &'a str,
    enabled: bool,
    billing: &'static str,
    local: bool,
    tier: Tier,
    capabilities: &'a [Capability],
    context_window: u64,
    max_output_tokens: u32,
    withdrawn: Option<NaiveDate>,
    #[serde(flatten)]
    prices: PriceDocument,
}

pub(super) fn run(arguments: &Arguments, catalog: &Catalog) -> Result<Exit, CommandError> {
    let today = local_time().date_naive();
    let models = selected_models(arguments, catalog, today)?;
    if arguments.output.format == ListFormat::Text && models.is_empty() {
        output::note(arguments.wanted.describe_none(catalog));
        return Ok(Exit::Success);
    }
    let documents = models
        .iter()
        .filter_map(|entry| model_document(catalog, entry, today));
    let documents: Vec<Model<'_>> = documents.collect();
    arguments
        .output
        .print_rows(&documents, |width| model_table(&models, today, width));
    if arguments.output.format == ListFormat::Text {
        note_unpriced(catalog);
    }
    Ok(Exit::Success)
}

fn selected_models<'a>(
    arguments: &Arguments,
    catalog: &'a Catalog,
    day: NaiveDate,
) -> Result<Vec<&'a ModelEntry>, CommandError> {
    let platform: Option<&PlatformName> = match &arguments.platform {
        None => None,
        Some(name) => {
            let known = catalog.require_platform(name);
            let known =
                known.map_err(|error| CommandError::Input(format!("--platform: {error}")))?;
            Some(&known.name)
        }
    };
    let mut models = arguments.wanted.models(catalog, arguments.all, day);
    models.retain(|entry| {
        let input = Usd::for_tokens(1_000, entry.prices.at(day).rates.input);
        platform.is_none_or(|platform| entry.provider == *platform)
            && arguments.max_cost.is_none_or(|most| input <= most)
    });
    Ok(models)
}

fn model_document<'a>(
    catalog: &Catalog,
    entry: &'a ModelEntry,
    day: NaiveDate,
) -> Option<Model<'a>> {
    let provider = catalog.platform(entry.provider.as_str())?;
    Some(Model {
        platform: entry.provider.as_str(),
        name: &entry.model,
        enabled: provider.is_on(),
        billing: provider.billing.as_str(),
        local: provider.local,
        tier: entry.tier,
        capabilities: &entry.capabilities,
        context_window: entry.context_window,
        max_output_tokens: entry.max_output_tokens,
        withdrawn: entry.withdrawn,
        prices: entry.prices.at(day).into(),
    })
}

fn model_table(models: &[&ModelEntry], day: NaiveDate, width: Width) -> String {
    let mut table = Table::new([
        hide(5, "PLATFORM"),
        whole("MODEL"),
        hide(3, "TIER"),
        whole("IN/1K").right(),
        whole("OUT/1K").right(),
        hide(1, "BATCH").right(),
        hide(2, "CONTEXT").right(),
        hide(4, "CAPABILITIES"),
    ]);
    let mut has_tiers = false;
    for entry in models {
        let prices = entry.prices.at(day);
        let mark = if prices.steps.is_empty() { "" } else { "*" };
        has_tiers |= !prices.steps.is_empty();
        let capabilities: Vec<&str> = entry.capabilities.iter().map(|one| one.as_str()).collect();
        table.add_row([
            Cell::new(&entry.provider),
            Cell::new(&entry.model),
            Cell::new(entry.tier),
            Cell::new(format_args!("{}{mark}", per_thousand(prices.rates.input))),
            Cell::new(format_args!("{}{mark}", per_thousand(prices.rates.output))),
            Cell::new(discount(prices.batch_discount)),
            number(entry.context_window),
            Cell::new(capabilities.join(", ")),
        ]);
    }
    let mut text = table.fitted(width);
    if has_tiers {
        text.push_str("\n\n* different prices for long prompts; `--format json` shows them");
    }
    text
}

/// The discount of a provider's batch API: `-50%`.
fn discount(part: Option<Decimal>) -> String {
    part.map_or_else(
        || "-".to_owned(),
        |part| {
            format!(
                "-{}%",
                (part * Decimal::ONE_HUNDRED).round_dp(1).normalize()
            )
        },
    )
}

fn note_unpriced(catalog: &Catalog) {
    let names: Vec<String> = catalog
        .unpriced
        .iter()
        .map(|entry| format!("{}/{}", entry.provider, entry.model))
        .collect();
    if !names.is_empty() {
        output::note(format_args!(
            "Excluded, because no price is known: {}.",
            names.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::catalog;
    use super::*;

    fn day() -> NaiveDate {
        "2026-11-21".parse().unwrap()
    }

    fn listed_text(arguments: &Arguments) -> String {
        model_table(
            &selected_models(arguments, &catalog(), day()).unwrap(),
            day(),
            Width::UNLIMITED,
        )
    }

    #[test]
    fn models_are_listed_with_prices_per_thousand_tokens() {
        // As with `--capability code --tier advanced --max-cost 0.002`.
        let arguments = Arguments {
            wanted: Wanted {
                capabilities: vec![Capability::Code],
                tier: Some(Tier::Advanced),
            },
            max_cost: Some("0.002".parse().unwrap()),
            ..Arguments::default()
        };
        insta::assert_snapshot!(listed_text(&arguments), @"
        PLATFORM  MODEL                   TIER           IN/1K      OUT/1K  BATCH    CONTEXT  CAPABILITIES
        xai       grok-4.7                advanced  $0.002000*  $0.006000*   -20%    500,000  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision
        openai    o3                      advanced   $0.002000   $0.008000   -50%    200,000  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision, files
        gemini    gemini-2.5-pro          advanced  $0.001250*  $0.010000*   -50%  1,048,576  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision, files, audio
        openai    gpt-6-sol               advanced  $0.002000*  $0.010000*   -50%    922,000  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision, files
        openai    gpt-6.1-sol             advanced  $0.002000*  $0.010000*   -50%    922,000  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision, files
        gemini    gemini-4-argon          advanced   $0.002000   $0.010000   -50%  1,048,576  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision, files, audio
        gemini    gemini-3-pro-preview    advanced  $0.002000*  $0.012000*   -50%  1,048,576  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision, files, audio
        gemini    gemini-3.1-pro-preview  advanced  $0.002000*  $0.012000*   -50%  1,048,576  code, analysis, planning, review, complex_reasoning, docs, tools, json_schema, reasoning, vision, files, audio

        * different prices for long prompts; `--format json` shows them
        ");
    }

    #[test]
    fn platform_aliases_work_and_disabled_platforms_are_excluded() {
        let models_of = |platform: &str, all: bool| {
            let arguments = Arguments {
                platform: Some(platform.to_owned()),
                all,
                ..Arguments::default()
            };
            selected_models(&arguments, &catalog(), day()).map(|models| models.len())
        };
        assert_eq!(models_of("grok", false).unwrap(), 2);
        assert_eq!(
            models_of("grok", true).unwrap(),
            3,
            "including a withdrawn one"
        );
        assert_eq!(models_of("claude", false).unwrap(), 0);
        assert!(models_of("claude", true).unwrap() > 5);
        let error = models_of("skynet", false).unwrap_err().to_string();
        assert!(
            error.starts_with("--platform: platform `skynet` is not known"),
            "{error}"
        );
    }

    #[test]
    fn max_cost_is_per_thousand_tokens_and_inclusive() {
        let most = |cost: &str| {
            let arguments = Arguments {
                platform: Some("xai".to_owned()),
                max_cost: Some(cost.parse().unwrap()),
                ..Arguments::default()
            };
            selected_models(&arguments, &catalog(), day())
                .unwrap()
                .len()
        };
        assert_eq!([most("0.00199"), most("0.002"), most("0")], [1, 2, 0]);
        assert!(dollar_amount("-1").is_err() && dollar_amount("cheap").is_err());
    }

    #[test]
    fn json_has_every_price() {
        let catalog = catalog();
        let entry = catalog.model("grok-4.3")[0];
        let model = model_document(&catalog, entry, day()).unwrap();
        let json = serde_json::to_string_pretty(&model).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "platform": "xai",
          "name": "grok-4.3",
          "enabled": true,
          "billing": "paid",
          "local": false,
          "tier": "standard",
          "capabilities": [
            "code",
            "analysis",
            "planning",
            "review",
            "docs",
            "simple_tasks",
            "tools",
            "json_schema",
            "reasoning",
            "vision"
          ],
          "context_window": 1000000,
          "max_output_tokens": 1000000,
          "withdrawn": null,
          "input_per_million": 1.25,
          "output_per_million": 2.5,
          "cached_per_million": 0.2,
          "cache_write_per_million": 1.25,
          "cache_write_1h_per_million": 1.25,
          "reasoning_per_million": 2.5,
          "audio_per_million": 1.25,
          "cached_audio_per_million": 0.2,
          "steps": [
            {
              "above_tokens": 199999,
              "input_per_million": 2.5,
              "output_per_million": 5,
              "cached_per_million": 0.4,
              "cache_write_per_million": 2.5,
              "cache_write_1h_per_million": 2.5,
              "reasoning_per_million": 5,
              "audio_per_million": 2.5,
              "cached_audio_per_million": 0.4
            }
          ],
          "batch_discount": 0.2
        }
        "#);
    }
}
