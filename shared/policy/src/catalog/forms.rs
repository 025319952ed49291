//! Forms of the catalog's settings.

use longshore_settings::{Form, Reader, Text};

use super::list;

/// Any text but an empty one.
pub(super) fn text_form(expected: &'static str) -> Form<String> {
    Form::new(expected, |text| (!text.is_empty()).then(|| text.to_owned()))
}

/// One of the names of an enum.
pub fn word<T: Copy>(all: &'static [T], as_str: fn(T) -> &'static str) -> Form<T> {
    Form::with_format(
        format!("one of {}", list(all.iter().map(|value| as_str(*value)))),
        move |text| all.iter().copied().find(|value| as_str(*value) == text),
        move |value| as_str(*value).to_owned(),
    )
}

/// Reports that the setting `name` is missing. Returns `None`, as the value that could not be read.
pub fn missing<T>(
    r: &mut Reader<'_>,
    near: Option<&Text>,
    name: &str,
    expected: &str,
) -> Option<T> {
    let text = format!("`{name}` is missing; expected {expected}");
    r.problem_near(near, text);
    None
}
