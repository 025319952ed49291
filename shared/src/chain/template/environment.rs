//! The engine: strict, without functions, and with those filters alone that cannot make much out of little.

use std::sync::LazyLock;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters, tests,
    value::{Kwargs, StringInput},
};

use super::MAX_RENDERED_BYTES;

/// Instructions of the engine that one text may take: a list of 10,000 items takes some 20 for each.
pub(super) const FUEL: u64 = 2_000_000;

/// How deep loops and conditions may nest.
const NESTING: usize = 64;

type Register = fn(&mut Environment<'static>, &'static str);

/// The filters by name.
const FILTERS: &[(&str, Register)] = &[
    ("abs", |env, name| env.add_filter(name, filters::abs)),
    ("attr", |env, name| env.add_filter(name, filters::attr)),
    ("bool", |env, name| env.add_filter(name, filters::bool)),
    ("capitalize", |env, name| {
        env.add_filter(name, filters::capitalize)
    }),
    ("count", |env, name| env.add_filter(name, filters::length)),
    ("default", |env, name| {
        env.add_filter(name, filters::default)
    }),
    ("dictsort", |env, name| {
        env.add_filter(name, filters::dictsort)
    }),
    ("first", |env, name| env.add_filter(name, filters::first)),
    ("float", |env, name| env.add_filter(name, filters::float)),
    ("groupby", |env, name| {
        env.add_filter(name, filters::groupby)
    }),
    ("int", |env, name| env.add_filter(name, filters::int)),
    ("items", |env, name| env.add_filter(name, filters::items)),
    ("join", |env, name| env.add_filter(name, join)),
    ("last", |env, name| env.add_filter(name, filters::last)),
    ("length", |env, name| env.add_filter(name, filters::length)),
    ("lines", |env, name| env.add_filter(name, filters::lines)),
    ("list", |env, name| env.add_filter(name, filters::list)),
    ("lower", |env, name| env.add_filter(name, filters::lower)),
    ("map", |env, name| env.add_filter(name, filters::map)),
    ("max", |env, name| env.add_filter(name, filters::max)),
    ("min", |env, name| env.add_filter(name, filters::min)),
    ("reject", |env, name| env.add_filter(name, filters::reject)),
    ("rejectattr", |env, name| {
        env.add_filter(name, filters::rejectattr)
    }),
    ("replace", |env, name| env.add_filter(name, replace)),
    ("reverse", |env, name| {
        env.add_filter(name, filters::reverse)
    }),
    ("round", |env, name| env.add_filter(name, filters::round)),
    ("select", |env, name| env.add_filter(name, filters::select)),
    ("selectattr", |env, name| {
        env.add_filter(name, filters::selectattr)
    }),
    ("sort", |env, name| env.add_filter(name, filters::sort)),
    ("split", |env, name| env.add_filter(name, filters::split)),
    ("string", |env, name| env.add_filter(name, filters::string)),
    ("sum", |env, name| env.add_filter(name, sum)),
    ("title", |env, name| env.add_filter(name, filters::title)),
    ("tojson", |env, name| env.add_filter(name, to_json)),
    ("trim", |env, name| env.add_filter(name, filters::trim)),
    ("unique", |env, name| env.add_filter(name, filters::unique)),
    ("upper", |env, name| env.add_filter(name, filters::upper)),
];

/// The tests by name.
const TESTS: &[(&str, Register)] = &[
    ("boolean", |env, name| env.add_test(name, tests::is_boolean)),
    ("defined", |env, name| env.add_test(name, tests::is_defined)),
    ("divisibleby", |env, name| {
        env.add_test(name, tests::is_divisibleby)
    }),
    ("endingwith", |env, name| {
        env.add_test(name, tests::is_endingwith)
    }),
    ("eq", |env, name| env.add_test(name, tests::is_eq)),
    ("even", |env, name| env.add_test(name, tests::is_even)),
    ("false", |env, name| env.add_test(name, tests::is_false)),
    ("float", |env, name| env.add_test(name, tests::is_float)),
    ("ge", |env, name| env.add_test(name, tests::is_ge)),
    ("gt", |env, name| env.add_test(name, tests::is_gt)),
    ("in", |env, name| env.add_test(name, tests::is_in)),
    ("integer", |env, name| env.add_test(name, tests::is_integer)),
    ("iterable", |env, name| {
        env.add_test(name, tests::is_iterable)
    }),
    ("le", |env, name| env.add_test(name, tests::is_le)),
    ("lower", |env, name| env.add_test(name, tests::is_lower)),
    ("lt", |env, name| env.add_test(name, tests::is_lt)),
    ("mapping", |env, name| env.add_test(name, tests::is_mapping)),
    ("ne", |env, name| env.add_test(name, tests::is_ne)),
    ("none", |env, name| env.add_test(name, tests::is_none)),
    ("number", |env, name| env.add_test(name, tests::is_number)),
    ("odd", |env, name| env.add_test(name, tests::is_odd)),
    ("sequence", |env, name| {
        env.add_test(name, tests::is_sequence)
    }),
    ("startingwith", |env, name| {
        env.add_test(name, tests::is_startingwith)
    }),
    ("string", |env, name| env.add_test(name, tests::is_string)),
    ("true", |env, name| env.add_test(name, tests::is_true)),
    ("undefined", |env, name| {
        env.add_test(name, tests::is_undefined)
    }),
    ("upper", |env, name| env.add_test(name, tests::is_upper)),
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::empty();
    for (name, register) in FILTERS.iter().chain(TESTS) {
        register(&mut env, name);
    }
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(NESTING);
    // Only with this do errors tell the place that they are at.
    env.set_debug(true);
    env
});

/// The engine.
pub(super) fn of_templates<'a>() -> &'a Environment<'a> {
    &ENVIRONMENT
}

/// Whether there is such a filter.
pub(super) fn is_filter(name: &str) -> bool {
    FILTERS.iter().any(|(known, _)| *known == name)
}

/// Whether there is such a test.
pub(super) fn is_test(name: &str) -> bool {
    TESTS.iter().any(|(known, _)| *known == name)
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("makes a text of more than {MAX_RENDERED_BYTES} bytes"),
    )
}

/// `join` of texts that are together no longer than a text may be.
fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let named: Option<&str> = kwargs.peek("d")?;
    let between = joiner.as_ref().map(StringInput::as_str).or(named);
    let between = between.map_or(0, str::len);
    let mut length = 0_usize;
    for item in value.try_iter()? {
        let item = item.as_str().map_or(0, str::len);
        length = length.saturating_add(item).saturating_add(between);
        if length > MAX_RENDERED_BYTES {
            return Err(too_long());
        }
    }
    filters::join(state, value, joiner, attribute, kwargs)
}

/// `replace` whose text is no longer than a text may be.
fn replace(
    state: &mut State<'_, '_>,
    value: StringInput<'_>,
    from: StringInput<'_>,
    to: StringInput<'_>,
) -> Result<Value, Error> {
    let places = value.as_str().matches(from.as_str()).count();
    let added = places.saturating_mul(to.as_str().len());
    if value.as_str().len().saturating_add(added) > MAX_RENDERED_BYTES {
        return Err(too_long());
    }
    filters::replace(state, value, from, to)
}

/// `sum` of numbers, and of nothing else.
fn sum(
    state: &State<'_, '_>,
    values: Value,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    if kwargs.has("start") {
        let words = "`start` is not supported";
        return Err(Error::new(ErrorKind::TooManyArguments, words));
    }
    filters::sum(state, values, attribute, None, kwargs)
}

/// The value as JSON on one line. The engine's own would write `<` and `'` as code points, for HTML.
fn to_json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}
