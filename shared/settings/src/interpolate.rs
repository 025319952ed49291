//! `${VARIABLE}`, `${VARIABLE|OTHER}` and `${VARIABLE:-default}` in a file's values; `$${` is a plain `${`.

use super::Environment;

/// The result of replacing the variables in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interpolated {
    /// The text with its variables replaced.
    Value(String),
    /// This variable is not set, nor are those behind it, and there is no default.
    Missing(String),
    /// A `${` that is neither `${NAME}`, `${NAME|OTHER}` nor `${NAME:-default}`.
    Malformed,
}

enum Piece<'a> {
    Plain(&'a str),
    /// The first of these variables that is set.
    Variable {
        names: Vec<&'a str>,
        default: Option<&'a str>,
    },
    Malformed,
}

/// Removes the next piece from `rest`.
fn next_piece<'a>(rest: &mut &'a str) -> Option<Piece<'a>> {
    if rest.is_empty() {
        return None;
    }
    if let Some(after) = rest.strip_prefix("$${") {
        *rest = after;
        return Some(Piece::Plain("${"));
    }
    let Some(inside) = rest.strip_prefix("${") else {
        // Up to the next `${`.
        let end = ["$${", "${"]
            .iter()
            .filter_map(|mark| rest.find(mark))
            .min();
        let (plain, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        *rest = after;
        return Some(Piece::Plain(plain));
    };
    let Some((body, after)) = inside.split_once('}') else {
        *rest = "";
        return Some(Piece::Malformed);
    };
    *rest = after;
    let (names, default) = match body.split_once(":-") {
        Some((names, default)) => (names, Some(default)),
        None => (body, None),
    };
    let names: Vec<&str> = names.split('|').collect();
    if !names.iter().all(|name| is_variable(name)) {
        return Some(Piece::Malformed);
    }
    Some(Piece::Variable { names, default })
}

fn is_variable(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let digit = |c: char| c.is_ascii_digit();
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with(digit)
}

/// Replaces the variables in a text.
pub fn interpolate(mut text: &str, env: &Environment) -> Interpolated {
    let mut value = String::new();
    while let Some(piece) = next_piece(&mut text) {
        match piece {
            Piece::Plain(plain) => value.push_str(plain),
            Piece::Malformed => return Interpolated::Malformed,
            Piece::Variable { names, default } => {
                let set = names.iter().find_map(|name| env.get(name));
                match (set.or(default), names.first()) {
                    (Some(found), _) => value.push_str(found),
                    (None, first) => {
                        return Interpolated::Missing(
                            first.copied().unwrap_or_default().to_owned(),
                        );
                    }
                }
            }
        }
    }
    Interpolated::Value(value)
}

/// The variables that a text names.
pub fn variables_of(mut text: &str) -> Vec<&str> {
    std::iter::from_fn(|| next_piece(&mut text))
        .flat_map(|piece| match piece {
            Piece::Variable { names, .. } => names,
            Piece::Plain(_) | Piece::Malformed => Vec::new(),
        })
        .collect()
}

/// Whether a text consists of variables without defaults, and so contains no secret itself.
pub fn is_only_variables(text: &str) -> bool {
    let mut text = text.trim();
    std::iter::from_fn(|| next_piece(&mut text)).all(|piece| match piece {
        Piece::Variable { default, .. } => default.is_none_or(str::is_empty),
        Piece::Plain(_) | Piece::Malformed => false,
    })
}

/// The first variable of a text that is set; if none is, the first that it names.
pub fn variable_in_use<'a>(text: &'a str, env: &Environment) -> Option<&'a str> {
    let names = variables_of(text);
    let set = names.iter().find(|name| env.get(name).is_some());
    set.or(names.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpolated(text: &str) -> Interpolated {
        interpolate(
            text,
            &Environment::from_pairs([("A", "1"), ("B_2", "$two${A}"), ("EMPTY", "")]),
        )
    }

    #[test]
    fn replaces_variables_once() {
        for (text, value) in [
            ("plain", "plain"),
            ("", ""),
            ("${A}", "1"),
            ("x${A}y${B_2}z", "x1y$two${A}z"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${NONE:-}", ""),
            ("${NONE|A}", "1"),
            ("${NONE|EMPTY:-b}", "b"),
            ("${EMPTY:-e}", "e"),
            ("$A $ $$ 5$", "$A $ $$ 5$"),
            ("$${A}${A}", "${A}1"),
            ("ä${A}ö", "ä1ö"),
        ] {
            assert_eq!(
                interpolated(text),
                Interpolated::Value(value.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn reports_a_missing_variable() {
        assert_eq!(
            interpolated("${A}${NONE}"),
            Interpolated::Missing("NONE".to_owned())
        );
        assert_eq!(
            interpolated("${EMPTY}"),
            Interpolated::Missing("EMPTY".to_owned())
        );
    }

    #[test]
    fn refuses_other_forms() {
        for text in [
            "${", "${A", "${}", "${A-b}", "${1A}", "${A B}", "${:-x}", "${A|}", "${|A}",
        ] {
            assert_eq!(interpolated(text), Interpolated::Malformed, "{text}");
        }
    }

    #[test]
    fn lists_variables() {
        assert_eq!(variables_of("${A}:$${B}:${C|E:-d}"), ["A", "C", "E"]);
    }

    #[test]
    fn the_variable_in_use_is_the_first_that_is_set() {
        let env = Environment::from_pairs([("B", "1"), ("C", "")]);
        assert_eq!(variable_in_use("${A|B|C}", &env), Some("B"));
        assert_eq!(variable_in_use("${A|C}", &env), Some("A"));
        assert_eq!(variable_in_use("none", &env), None);
    }
}
