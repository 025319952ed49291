//! The reference of the settings in `docs/CONFIGURATION.md`, made from the rows in `table.rs`.

use crate::{
    Config,
    section::{Description, Field, Structured as _},
    sections::{Part, parts},
    table::{
        ACCOUNT_LIMITS, MODEL, PROVIDER, RawBudget, RawCategory, RawCron, RawGate, RawQueueLimits,
        RawReplayRule, RawRule, RawTool, RawToolRequest, RawWorkspace, VARIABLES,
    },
};

/// The tables of the reference by their names, as Markdown.
pub fn tables() -> Vec<(&'static str, String)> {
    vec![
        ("all", all_settings()),
        ("variables", variables()),
        ("providers", entry_table(PROVIDER)),
        ("models", entry_table(MODEL)),
        ("providers.limits", entry_table(ACCOUNT_LIMITS)),
        ("queue_limits", entry_table(RawQueueLimits::FIELDS)),
        ("budgets", entry_table(RawBudget::FIELDS)),
        ("dead_letters.replay", entry_table(RawReplayRule::FIELDS)),
        ("cron", entry_table(RawCron::FIELDS)),
        ("gates", entry_table(RawGate::FIELDS)),
        ("workspaces", entry_table(RawWorkspace::FIELDS)),
        ("tools", entry_table(RawTool::FIELDS)),
        ("tools.http", entry_table(RawToolRequest::FIELDS)),
        ("routing.rules", entry_table(RawRule::FIELDS)),
        ("routing.keywords", entry_table(RawCategory::FIELDS)),
    ]
}

/// Replaces the tables between `<!-- settings: NAME -->` and `<!-- end -->` in a document. Returns the
/// document and the names of the tables that it has.
pub fn update(document: &str) -> (String, Vec<&'static str>) {
    const END: &str = "<!-- end -->";
    let mut document = document.to_owned();
    let mut found = Vec::new();
    for (name, table) in tables() {
        let marker = format!("<!-- settings: {name} -->\n");
        let parts = document.split_once(&marker).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(END)?;
            Some(format!("{before}{marker}{table}{END}{after}"))
        });
        if let Some(updated) = parts {
            document = updated;
            found.push(name);
        }
    }
    (document, found)
}

fn all_settings() -> String {
    let defaults = Config::unread();
    let descriptions = parts(&defaults.catalog)
        .into_iter()
        .flat_map(|part| match part {
            Part::Settings(section) => section.describe(&defaults),
            Part::Entries { description, .. } => description.into_iter().collect(),
        });
    let mut table =
        "| setting | variable | values | default | meaning |\n|---|---|---|---|---|\n".to_owned();
    for row in descriptions {
        let Description {
            path,
            variables,
            values,
            default,
            doc,
        } = row;
        table += &line(&[&format!("`{path}`"), &variables, &values, &default, doc]);
    }
    table
}

fn entry_table(fields: &[Field]) -> String {
    let mut table = "| setting | values | default | meaning |\n|---|---|---|---|\n".to_owned();
    for field in fields {
        let row = field.describe("");
        let name = format!("`{}`", row.path);
        table += &line(&[&name, &row.values, &row.default, row.doc]);
    }
    table
}

fn variables() -> String {
    let mut table = "| variable | read by | default | meaning |\n|---|---|---|---|\n".to_owned();
    for field in VARIABLES {
        let name = format!("`{}`", field.name);
        table += &line(&[&name, field.values, field.default, field.doc]);
    }
    table
}

fn line(cells: &[&str]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| cell.trim().replace('|', "\\|"))
        .collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use longshore_policy::catalog::{RawModel, RawProvider};
    use longshore_settings::{Environment, Part, yaml::parse};

    use super::*;
    use crate::table::File;

    #[test]
    fn the_tables_of_the_document_are_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CONFIGURATION.md");
        let document = std::fs::read_to_string(&path).unwrap();
        let (updated, found) = update(&document);
        let names: Vec<&str> = tables().into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, names, "tables in docs/CONFIGURATION.md");
        let env = Environment::read().unwrap();
        if env.get("LONGSHORE_UPDATE_DOCS") == Some("1") {
            std::fs::write(&path, updated).unwrap();
        } else {
            let is_current = document == updated;
            assert!(
                is_current,
                "docs/CONFIGURATION.md is stale: run `make docs`"
            );
        }
    }

    /// The settings that `T` reads, as the error about an unknown one lists them.
    fn names_of<T: Part>(yaml: &str) -> Vec<String> {
        let problems = parse::<T>(Path::new("x.yaml"), yaml).unwrap().problems;
        let problem = problems.first().unwrap();
        let (_, names) = problem.text.split_once("expected one of ").unwrap();
        names.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn every_setting_of_a_provider_and_a_model_has_a_row() {
        let rows = |fields: &[Field]| {
            let mut names: Vec<String> = fields.iter().map(|field| field.name.to_owned()).collect();
            names.sort();
            names
        };
        for (mut read, documented) in [
            (
                names_of::<RawProvider>("unknown_name_xyz: 1\n"),
                rows(PROVIDER),
            ),
            (names_of::<RawModel>("unknown_name_xyz: 1\n"), rows(MODEL)),
            (
                names_of::<RawProvider>("limits: { unknown_name_xyz: 1 }\n"),
                rows(ACCOUNT_LIMITS),
            ),
        ] {
            read.sort();
            assert_eq!(read, documented);
        }
    }

    #[test]
    fn every_setting_of_the_file_has_a_row() {
        let table = all_settings();
        for name in names_of::<File>("unknown_name_xyz: 1\n") {
            let is_there = [format!("| `{name}` |"), format!("| `{name}.")]
                .iter()
                .any(|start| table.contains(start));
            assert!(is_there, "{name}");
        }
    }
}
