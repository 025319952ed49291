//! The template engine: strict, without functions, and only with filters that cannot produce large
//! output from small input.

use std::sync::LazyLock;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters, tests,
    value::{Kwargs, Rest, StringInput, ValueOrKwargs},
};

use super::{MAX_RENDERED_BYTES, work};

/// Engine instructions that one text may use: a list of 10,000 items uses about 20 per item.
pub(super) const FUEL: u64 = 2_000_000;

/// How deep loops and conditions may nest.
const NESTING: usize = 64;

/// Registers one filter or test with an engine.
type Register = fn(&mut Environment<'static>, &'static str);

/// Registers functions whose calls are charged for what they read.
macro_rules! registered {
    ($add:ident: $($name:literal = $function:path),+ $(,)?) => {
        &[$(($name, |env, name| {
            let function = Value::from_function($function);
            env.$add(name, move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
                let arguments = arguments.into_values();
                work::charge(name, &arguments)?;
                function.call(state, &arguments)
            });
        })),+]
    };
}

const FILTERS: &[(&str, Register)] = registered! {
    add_filter:
    "abs" = filters::abs,
    "attr" = filters::attr,
    "bool" = filters::bool,
    "capitalize" = filters::capitalize,
    "count" = filters::length,
    "default" = filters::default,
    "dictsort" = filters::dictsort,
    "first" = filters::first,
    "float" = filters::float,
    "groupby" = filters::groupby,
    "int" = filters::int,
    "items" = filters::items,
    "join" = join,
    "last" = filters::last,
    "length" = filters::length,
    "lines" = filters::lines,
    "list" = filters::list,
    "lower" = filters::lower,
    "map" = filters::map,
    "max" = filters::max,
    "min" = filters::min,
    "reject" = filters::reject,
    "rejectattr" = filters::rejectattr,
    "replace" = replace,
    "reverse" = filters::reverse,
    "round" = filters::round,
    "select" = filters::select,
    "selectattr" = filters::selectattr,
    "sort" = filters::sort,
    "split" = filters::split,
    "string" = filters::string,
    "sum" = sum,
    "title" = filters::title,
    "tojson" = to_json,
    "trim" = filters::trim,
    "unique" = filters::unique,
    "upper" = filters::upper,
};

const TESTS: &[(&str, Register)] = registered! {
    add_test:
    "boolean" = tests::is_boolean,
    "defined" = tests::is_defined,
    "divisibleby" = tests::is_divisibleby,
    "endingwith" = tests::is_endingwith,
    "eq" = tests::is_eq,
    "even" = tests::is_even,
    "false" = tests::is_false,
    "float" = tests::is_float,
    "ge" = tests::is_ge,
    "gt" = tests::is_gt,
    "in" = tests::is_in,
    "integer" = tests::is_integer,
    "iterable" = tests::is_iterable,
    "le" = tests::is_le,
    "lower" = tests::is_lower,
    "lt" = tests::is_lt,
    "mapping" = tests::is_mapping,
    "ne" = tests::is_ne,
    "none" = tests::is_none,
    "number" = tests::is_number,
    "odd" = tests::is_odd,
    "sequence" = tests::is_sequence,
    "startingwith" = tests::is_startingwith,
    "string" = tests::is_string,
    "true" = tests::is_true,
    "undefined" = tests::is_undefined,
    "upper" = tests::is_upper,
};

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::empty();
    for (name, register) in FILTERS.iter().chain(TESTS) {
        register(&mut env, name);
    }
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(NESTING);
    // Without debug mode, errors have no range.
    env.set_debug(true);
    env
});

pub(super) fn of_templates<'a>() -> &'a Environment<'a> {
    &ENVIRONMENT
}

pub(super) fn is_filter(name: &str) -> bool {
    FILTERS.iter().any(|(known, _)| *known == name)
}

pub(super) fn is_test(name: &str) -> bool {
    TESTS.iter().any(|(known, _)| *known == name)
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("makes a text of more than {MAX_RENDERED_BYTES} bytes"),
    )
}

/// `join` whose result is within the size limit.
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

/// `replace` whose result is within the size limit.
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

/// `sum` of numbers only.
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

/// The value as JSON on one line. The engine's own filter escapes `<` and `'` for HTML.
fn to_json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}
