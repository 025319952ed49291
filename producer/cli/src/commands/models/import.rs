//! `longshore models import`.

use std::{fs, path::PathBuf};

use longshore_policy::catalog::{Catalog, PriceImport};
use longshore_protocol::platform::PlatformName;

use crate::{
    error::{CommandError, Exit},
    input::{file_label, read_text_or_stdin},
    output,
    render::text::{counted, grouped},
};

/// Maximum number of unreadable models that are named.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    #[arg(
        help = "Price file in the format of LiteLLM's model_prices_and_context_window.json; `-` reads stdin"
    )]
    file: PathBuf,
    /// Only the models of this platform; repeat for several [default: all in the configuration]
    #[arg(long = "provider", value_name = "PLATFORM")]
    providers: Vec<String>,
    /// Write the models to this file [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Converts the file; exit code 1 if there is nothing to write.
pub(super) fn run(arguments: &Arguments, catalog: &Catalog) -> Result<Exit, CommandError> {
    let path = &arguments.file;
    let text = read_text_or_stdin(path)?;
    let mut only: Vec<PlatformName> = Vec::new();
    for name in &arguments.providers {
        let known = catalog.require_platform(name);
        let known = known.map_err(|error| CommandError::Input(format!("--provider: {error}")))?;
        only.push(known.name.clone());
    }
    let wrong = |error: &dyn std::fmt::Display| {
        CommandError::Input(format!("{}: {error}", file_label(path)))
    };
    let import = PriceImport::read(&text, catalog, &only).map_err(|error| wrong(&error))?;
    if import.by_platform().is_empty() {
        output::note(describe_import(&import));
        return Ok(Exit::Failure);
    }
    let yaml = import.to_yaml(catalog).map_err(|error| wrong(&error))?;
    match &arguments.output {
        None => output::line(yaml.trim_end()),
        Some(output) => fs::write(output, yaml).map_err(CommandError::io(format!(
            "{} cannot be written",
            output.display()
        )))?,
    }
    output::note(describe_import(&import));
    if let Some(output) = &arguments.output {
        output::note(format_args!(
            "Load them with `model_files: [{}]` in longshore.yaml.",
            output.display()
        ));
    }
    Ok(Exit::Success)
}

/// Describes what was read and what was not.
fn describe_import(import: &PriceImport) -> String {
    let platforms = import.by_platform();
    let read = counted(platforms.values().sum::<usize>(), "model");
    let by_platform: Vec<String> = platforms
        .iter()
        .map(|(platform, models)| format!("{platform} {}", grouped(*models as u64)))
        .collect();
    let mut lines = vec![if by_platform.is_empty() {
        format!("{read} read.")
    } else {
        format!("{read} read: {}.", by_platform.join(", "))
    }];
    let skipped: Vec<String> = [
        (import.other_kinds, "not chat models"),
        (import.other_providers, "of other platforms"),
        (import.repeated, "duplicates"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{} {what}", grouped(number as u64)))
    .collect();
    if !skipped.is_empty() {
        lines.push(format!("Skipped: {}.", skipped.join(", ")));
    }
    if import.rounded > 0 {
        let rounded = counted(import.rounded, "model");
        lines.push(format!("Prices rounded to nine decimals: {rounded}."));
    }
    if !import.unread.is_empty() {
        let unread = counted(import.unread.len(), "model");
        lines.push(format!("Unreadable: {unread}."));
        let named = import.unread.iter().take(SHOWN);
        lines.extend(named.map(|unread| format!("  {}: {}", unread.name, unread.why)));
        if import.unread.len() > SHOWN {
            lines.push("  …".to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::catalog;
    use super::*;

    #[test]
    fn the_summary_lists_read_and_skipped_models() {
        let file = r#"{
            "gpt-9": {"mode": "chat", "litellm_provider": "openai",
                "input_cost_per_token": 1.0000000000000002e-07, "output_cost_per_token": 1e-06},
            "openai/gpt-9": {"mode": "chat", "litellm_provider": "openai",
                "input_cost_per_token": 1e-07, "output_cost_per_token": 1.0000000000000002e-06},
            "openai/odd": {"mode": "chat", "litellm_provider": "openai"},
            "acme/a": {"mode": "chat", "litellm_provider": "acme"},
            "embed": {"mode": "embedding", "litellm_provider": "openai"},
            "xai/grok-9": {"mode": "chat", "litellm_provider": "xai",
                "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}
        }"#;
        let import = PriceImport::read(file, &catalog(), &[]).unwrap();
        insta::assert_snapshot!(describe_import(&import), @r"
        2 models read: openai 1, xai 1.
        Skipped: 1 not chat models, 1 of other platforms, 1 duplicates.
        Prices rounded to nine decimals: 1 model.
        Unreadable: 1 model.
          openai/odd: it has no price per token
        ");
        let none = PriceImport::read("{}", &catalog(), &[]).unwrap();
        insta::assert_snapshot!(describe_import(&none), @"0 models read.");
    }
}
