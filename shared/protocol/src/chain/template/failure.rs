//! Errors of templates, worded by what the template read.

use std::ops::Range;

use minijinja::{Error, ErrorKind};

use super::{
    MAX_RENDERED_BYTES, StepAnswers, TemplateError, TemplateScope, environment::FUEL, syntax::part,
    values,
};
use crate::{chain::StepName, envelope::shortened};

impl TemplateScope {
    /// Converts an error of the engine.
    pub(super) fn failure(&self, error: &Error, text: &str) -> TemplateError {
        let at = error.range().and_then(|range| whole(text, range));
        match (error.kind(), at) {
            (ErrorKind::UndefinedError, Some(at)) => self.nothing_at(at),
            (ErrorKind::OutOfFuel, _) => TemplateError(format!(
                "it takes more than {FUEL} steps of the template engine"
            )),
            (ErrorKind::WriteFailure, _) => TemplateError(format!(
                "its text is longer than {MAX_RENDERED_BYTES} bytes"
            )),
            (kind, at) => {
                let detail = error
                    .detail()
                    .map_or_else(|| kind.to_string(), str::to_owned);
                TemplateError(match at {
                    Some(at) => format!("`{}`: {detail}", shortened(at)),
                    None => detail,
                })
            }
        }
    }

    /// The error for an expression without a value; explains why if its text shows it.
    pub(super) fn nothing_at(&self, at: &str) -> TemplateError {
        let words = format!("`{}` has no value", shortened(at));
        TemplateError(match self.why_nothing(at) {
            Some(why) => format!("{words}: {why}"),
            None => words,
        })
    }

    fn why_nothing(&self, at: &str) -> Option<String> {
        let (_, path) = at.split_once("steps.")?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name: String = path.chars().take_while(|c| is_name(*c)).collect();
        let step = StepName::parse(&name).ok()?;
        match self.steps.get(&step)? {
            StepAnswers::One(Some(outcome)) if outcome.success => {
                let json = format!("{name}.json");
                let output = outcome.output.as_deref().unwrap_or_default();
                let wrong = values::json_of(output).err();
                let wrong = wrong.filter(|_| path.starts_with(&json))?;
                Some(format!("the answer of step `{name}` is not JSON ({wrong})"))
            }
            StepAnswers::One(_) => Some(format!("step `{name}` has no answer")),
            StepAnswers::Many(_) => None,
        }
    }
}

/// The engine reports only the end of a path; this extends the range to its first name.
fn whole(text: &str, range: Range<usize>) -> Option<&str> {
    let before = part(text, 0..range.start)?;
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let start = before.trim_end_matches(is_path).len();
    part(text, start..range.end)
}
