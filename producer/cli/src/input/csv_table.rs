//! CSV: one task per row; a template makes the prompt.

use std::{collections::BTreeMap, io::BufRead};

use csv::{ByteRecord, ErrorKind, ReaderBuilder};
use longshore_client::Job;
use longshore_settings::suggest::closest;
use minijinja::{Environment, Template, UndefinedBehavior};
use serde_json::Value;

use super::{OnTask, ReadError, Task};

/// The column with the prompt if there is no template.
const PROMPT: &str = "prompt";

/// The variable with the whole row, for columns whose names are not identifiers.
const ROW: &str = "row";

/// Fields that stay text even if the cell looks like a number.
const TEXT_FIELDS: [&str; 15] = [
    "id",
    "type",
    "system",
    "platform",
    "model",
    "risk",
    "area",
    "complexity",
    "chain_id",
    "parent_id",
    "tenant",
    "traceparent",
    "unique_key",
    "concurrency_key",
    "prompt",
];

/// How columns map to a task.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// The template of the prompt; without one, the column `prompt` is the prompt.
    pub(crate) prompt: Option<String>,
    /// Columns that become fields of the job with the same name.
    pub(crate) fields: Vec<String>,
}

/// The header, and how to convert the rows.
struct Plan<'a> {
    names: Vec<String>,
    /// The columns that are fields: index and name.
    fields: Vec<(usize, &'a str)>,
    template: Template<'a, 'a>,
}

pub(super) fn read(
    reader: impl BufRead,
    columns: &Columns,
    on_task: &mut OnTask<'_>,
) -> Result<(), ReadError> {
    // A row of the wrong length makes only its task invalid, not the table.
    let mut table = ReaderBuilder::new().flexible(true).from_reader(reader);
    let header = table.byte_headers().map_err(|error| csv_error(&error))?;
    let names =
        utf8_cells(header).map_err(|wrong| ReadError::format(format!("header: {wrong}")))?;
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let template = columns.template(&names).map_err(ReadError::format)?;
    let template = environment
        .template_from_str(&template)
        .map_err(|error| ReadError::format(format!("--prompt: {}", template_error(&error))))?;
    let plan = columns.plan(names, template).map_err(ReadError::Format)?;
    let (mut row, mut count) = (ByteRecord::new(), 0_u64);
    while table
        .read_byte_record(&mut row)
        .map_err(|error| csv_error(&error))?
    {
        count += 1;
        let task = plan.task(&row);
        let task = Task {
            line: row.position().map(csv::Position::line),
            json: task.as_deref().map_err(Clone::clone),
        };
        if on_task(task).is_break() {
            return Ok(());
        }
    }
    if count == 0 {
        let expected = "expected at least one row below the header, but there is none";
        return Err(ReadError::format(expected));
    }
    Ok(())
}

fn csv_error(error: &csv::Error) -> ReadError {
    match error.kind() {
        ErrorKind::Io(source) => {
            ReadError::Io(std::io::Error::new(source.kind(), source.to_string()))
        }
        _ => ReadError::format(format!("not CSV: {error}")),
    }
}

/// A template error with its detail.
fn template_error(error: &minijinja::Error) -> String {
    error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    )
}

fn utf8_cells(row: &ByteRecord) -> Result<Vec<&str>, String> {
    row.iter()
        .enumerate()
        .map(|(at, cell)| {
            std::str::from_utf8(cell)
                .map_err(|_| format!("column {}: expected UTF-8, but got invalid bytes", at + 1))
        })
        .collect()
}

impl Columns {
    /// The source of the template.
    fn template(&self, names: &[String]) -> Result<String, String> {
        if let Some(prompt) = &self.prompt {
            return Ok(prompt.clone());
        }
        if names.iter().any(|name| name == PROMPT) {
            return Ok(format!("{{{{ {PROMPT} }}}}"));
        }
        Err(format!(
            "there is no column `{PROMPT}`; add --prompt with a template of the columns {}, such as --prompt \
             'Summarise: {{{{ {} }}}}'",
            names.join(", "),
            names.first().map_or("text", String::as_str)
        ))
    }

    /// Checks that every name refers to exactly one column; the error has all that do not.
    fn plan<'a>(
        &'a self,
        names: Vec<String>,
        template: Template<'a, 'a>,
    ) -> Result<Plan<'a>, Vec<String>> {
        let known = |name: &str| names.iter().position(|known| known == name);
        let mut wrong = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if known(name) != Some(at) {
                wrong.push(format!("header: duplicate column `{name}`"));
            }
        }
        let mut unknown = |option: &str, name: &str| {
            let near = closest(name, names.iter().map(String::as_str));
            let remedy = near.map_or_else(
                || format!("expected one of {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            wrong.push(format!("{option}: unknown column `{name}`; {remedy}"));
        };
        let mut wanted: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        wanted.sort();
        for name in wanted {
            if name != ROW && known(&name).is_none() {
                unknown("--prompt", &name);
            }
        }
        let mut fields = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            match known(field) {
                Some(at) => fields.push((at, field.as_str())),
                None => unknown("--fields", field),
            }
        }
        if wrong.is_empty() {
            Ok(Plan {
                names,
                fields,
                template,
            })
        } else {
            Err(wrong)
        }
    }
}

impl Plan<'_> {
    /// A row's task as JSON.
    fn task(&self, row: &ByteRecord) -> Result<String, String> {
        let cells = utf8_cells(row)?;
        if cells.len() != self.names.len() {
            return Err(format!(
                "expected {} columns, as in the header, but got {}",
                self.names.len(),
                cells.len()
            ));
        }
        let mut variables: BTreeMap<&str, minijinja::Value> = self
            .names
            .iter()
            .zip(&cells)
            .map(|(name, cell)| (name.as_str(), minijinja::Value::from(*cell)))
            .collect();
        let row = minijinja::Value::from_pairs(variables.clone());
        variables.entry(ROW).or_insert(row);
        let prompt = self
            .template
            .render(variables)
            .map_err(|error| format!("--prompt: {}", template_error(&error)))?;
        let mut job = Job::prompt(prompt);
        for (at, field) in &self.fields {
            // Empty cells are ignored.
            if let Some(cell) = cells.get(*at).filter(|cell| !cell.is_empty()) {
                job = job.with(field, field_value(field, cell));
            }
        }
        Ok(job.to_json())
    }
}

/// Converts a cell to the value of a field: JSON if the field is not text and the cell is JSON.
fn field_value(field: &str, cell: &str) -> Value {
    if TEXT_FIELDS.contains(&field) {
        return Value::from(cell);
    }
    serde_json::from_str(cell).unwrap_or_else(|_| Value::from(cell))
}
