//! Checks of the Lua files that need no Redis: headers, names, arities.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    path::Path,
};

use super::*;
use crate::BrokerError;

/// A Lua file that is part of a script.
pub(crate) struct Source {
    file: &'static str,
    text: &'static str,
    is_script: bool,
}

impl Source {
    pub(super) fn include(file: &'static str, text: &'static str) -> Self {
        Self {
            file,
            text,
            is_script: false,
        }
    }

    pub(super) fn script(file: &'static str, text: &'static str) -> Self {
        Self {
            file,
            text,
            is_script: true,
        }
    }

    /// The comment that the file begins with, line by line.
    fn header(&self) -> Vec<&'static str> {
        self.text
            .lines()
            .map_while(|line| line.strip_prefix("--"))
            .map(str::trim_start)
            .collect()
    }

    /// What the header says after `label`, with the lines that continue it.
    fn section(&self, label: &str) -> Option<String> {
        let mut lines = self.text.lines().map_while(|line| line.strip_prefix("--"));
        let first = lines.find_map(|line| line.strip_prefix(' ')?.strip_prefix(label))?;
        let rest = lines.take_while(|line| line.starts_with("     "));
        Some(std::iter::once(first).chain(rest).collect())
    }

    /// The value of `local NAME = NUMBER`.
    fn constant(&self, name: &str) -> Option<usize> {
        let prefix = format!("local {name} = ");
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(&prefix)?.parse().ok())
    }
}

/// Identifiers, numbers and single characters of a Lua text, without comments and strings.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '\'' {
            // Our strings have no escaped quotes.
            rest.split('\'').nth(1).unwrap().len() + 2
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("==") || rest.starts_with("..") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !token.starts_with("--") && !token.starts_with('\'') && !first.is_whitespace() {
            tokens.push(token.to_owned());
        }
        rest = after;
    }
    tokens
}

const KEYWORDS: &[&str] = &[
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
    "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

const GLOBALS: &[&str] = &[
    "ARGV", "KEYS", "cjson", "cmsgpack", "ipairs", "math", "pairs", "redis", "string", "table",
    "error", "tonumber", "tostring", "type", "pcall", "unpack",
];

/// The names that a text declares, and those that it uses and neither it nor `known` has declared before. Scopes
/// that have ended are not told apart: that would need a parser.
fn names(text: &str, known: &BTreeSet<String>) -> (BTreeSet<String>, BTreeSet<String>) {
    let tokens = tokens(text);
    let (mut declared, mut undeclared) = (BTreeSet::new(), BTreeSet::new());
    let mut braces = 0;
    // Until which token names are declared, not used.
    let mut declares_until = 0;
    for (at, token) in tokens.iter().enumerate() {
        let token = token.as_str();
        let find = |ends: &[&str]| {
            let after = tokens[at..].iter();
            at + after
                .take_while(|token| !ends.contains(&token.as_str()))
                .count()
        };
        let next = tokens.get(at + 1).map_or("", String::as_str);
        match token {
            "{" => braces += 1,
            "}" => braces -= 1,
            "function" => declares_until = find(&[")"]),
            "for" => declares_until = find(&["in", "="]),
            "local" if next != "function" => {
                // `local a, b = …`, or without a value.
                let mut end = at + 1;
                while tokens.get(end + 1).is_some_and(|token| token == ",") {
                    end += 2;
                }
                declares_until = end + 1;
            }
            _ => {}
        }
        let is_name = token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_member = at > 0 && (tokens[at - 1] == "." || tokens[at - 1] == ":");
        let is_field = braces > 0 && next == "=";
        if !is_name || is_member || is_field || KEYWORDS.contains(&token) {
            continue;
        }
        if at < declares_until {
            declared.insert(token.to_owned());
        } else if !declared.contains(token) && !known.contains(token) && !GLOBALS.contains(&token) {
            undeclared.insert(token.to_owned());
        }
    }
    (declared, undeclared)
}

/// The file of a script, without its includes.
fn source_of(script: &str) -> Source {
    sources()
        .into_iter()
        .flatten()
        .find(|source| source.is_script && source.file == script)
        .unwrap()
}

/// The reply words in a script's header: each quoted word of `Returns`, without its arguments.
fn reply_words(script: &str) -> BTreeSet<String> {
    let source = source_of(script);
    let text = source.section("Returns").unwrap();
    let mut words = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\'') {
        let (before, after) = rest.split_at(at);
        rest = after.get(1..).unwrap_or_default();
        // An apostrophe, as in `worker's`.
        if before.ends_with(char::is_alphanumeric) {
            continue;
        }
        let (quoted, after) = rest.split_once('\'').unwrap();
        words.extend(quoted.split(' ').next().map(str::to_owned));
        rest = after;
    }
    words.remove("");
    words
}

/// Checks that `cases` have every reply word of a script's header and no other, that `parse` returns what each
/// case expects, and that it refuses unknown and cut replies.
pub(crate) fn check_replies<T: PartialEq + Debug>(
    script: &str,
    cases: &[(Vec<&str>, T)],
    parse: impl Fn(&[String]) -> Result<T, BrokerError>,
) {
    let mut words = BTreeSet::new();
    for (reply, expected) in cases {
        let reply: Vec<String> = reply.iter().map(|part| (*part).to_owned()).collect();
        assert_eq!(&parse(&reply).unwrap(), expected, "{script}: {reply:?}");
        let first = reply.first().unwrap().split(' ').next();
        words.extend(first.map(str::to_owned));
    }
    assert_eq!(words, reply_words(script), "{script}");
    for reply in [vec!["surprise".to_owned()], vec![String::new()]] {
        let error = parse(&reply).unwrap_err();
        assert!(
            matches!(error, BrokerError::UnexpectedReply { .. }),
            "{script}: {error}"
        );
    }
}

/// The same for a script that replies with one word.
pub(crate) fn check_words<T: PartialEq + Debug + Copy>(
    script: &str,
    cases: &[(&str, T)],
    parse: impl Fn(&str) -> Result<T, BrokerError>,
) {
    let cases: Vec<(Vec<&str>, T)> = cases
        .iter()
        .map(|(reply, expected)| (vec![*reply], *expected))
        .collect();
    check_replies(script, &cases, |reply| parse(&reply.concat()));
}

#[test]
fn every_lua_file_is_part_of_a_script() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
    let files = |folder: &Path| -> BTreeSet<String> {
        std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                Some(name.strip_suffix(".lua")?.to_owned())
            })
            .collect()
    };
    let parts = |is_script: bool| -> BTreeSet<String> {
        sources()
            .iter()
            .flatten()
            .filter(|source| source.is_script == is_script)
            .map(|source| source.file.to_owned())
            .collect()
    };
    assert_eq!(files(&folder), parts(true));
    assert_eq!(files(&folder.join("include")), parts(false));
}

#[test]
fn every_script_has_a_header() {
    for source in sources().iter().flatten() {
        let file = source.file;
        let header = source.header();
        let purpose = header.first().copied().unwrap_or_default();
        assert!(
            purpose.len() > 10,
            "{file}: the first line says what it does"
        );
        let labels: &[&str] = if source.is_script {
            &["KEYS", "ARGV", "Returns", "Writes", "Repeat", "Bound"]
        } else {
            &["Provides"]
        };
        for label in labels {
            assert!(
                source.section(label).is_some(),
                "{file}: header without `{label}`"
            );
        }
    }
}

/// The words of a list in an include's header.
fn listed(source: &Source, label: &str) -> BTreeSet<String> {
    let text = source.section(label).unwrap_or_default();
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[test]
fn an_include_provides_and_needs_what_its_header_says() {
    for parts in sources() {
        let mut provided: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for part in parts.iter().filter(|part| !part.is_script) {
            let file = part.file;
            let (declared, _) = names(part.text, &BTreeSet::new());
            let provides = listed(part, "Provides");
            assert!(
                provides.is_subset(&declared),
                "{file} declares {declared:?}"
            );
            let used: BTreeSet<String> = tokens(part.text).into_iter().collect();
            let needs: BTreeSet<String> = provided
                .iter()
                .filter(|(other, names)| **other != "prelude" && !names.is_disjoint(&used))
                .map(|(other, _)| (*other).to_owned())
                .collect();
            assert_eq!(listed(part, "Needs"), needs, "{file}");
            provided.insert(file, provides);
        }
    }
}

#[test]
fn a_script_lists_the_includes_that_it_uses_and_no_others() {
    for parts in sources() {
        let script = parts.last().unwrap().file;
        let mut known = BTreeSet::new();
        for (at, part) in parts.iter().enumerate() {
            let file = part.file;
            let (_, undeclared) = names(part.text, &known);
            assert!(
                undeclared.is_empty(),
                "{script}: {file}.lua uses {undeclared:?}, which no include before it provides"
            );
            if part.is_script {
                continue;
            }
            let provides = listed(part, "Provides");
            let later: BTreeSet<String> = parts
                .iter()
                .skip(at + 1)
                .flat_map(|part| tokens(part.text))
                .collect();
            assert!(
                file == "prelude" || !provides.is_disjoint(&later),
                "{script} does not use {file}.lua"
            );
            known.extend(provides);
        }
    }
}

/// The commands that a Lua text calls, in lower case; of those with subcommands `name|subcommand`.
fn commands(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"));
    let text: String = lines.collect();
    let mut found = BTreeSet::new();
    for call in text.replace("pcall(", "call(").split("redis.call(").skip(1) {
        let arguments = call.split(')').next().unwrap();
        let words: Vec<&str> = arguments.split('\'').collect();
        let quoted: Vec<String> = words
            .iter()
            .skip(1)
            .step_by(2)
            .map(|word| word.to_lowercase())
            .collect();
        let is_choice = words.get(2) == Some(&" or ");
        match quoted.as_slice() {
            [first, second, ..] if first == "xgroup" => {
                found.insert(format!("{first}|{second}"));
            }
            [first, second, ..] if is_choice => found.extend([first.clone(), second.clone()]),
            [first, ..] => {
                found.insert(first.clone());
            }
            [] => {}
        }
    }
    found
}

#[test]
fn the_documented_user_of_services_may_run_every_script() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROTOCOL.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, rule) = document.split_once("ACL SETUSER service ").unwrap();
    let (rule, _) = rule.split_once("\n\n").unwrap();
    let allowed: BTreeSet<&str> = rule
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('+'))
        .collect();
    for source in sources().iter().flatten() {
        for command in commands(source.text) {
            assert!(
                allowed.contains(command.as_str()),
                "{} calls {command}, which the user in docs/PROTOCOL.md may not",
                source.file
            );
        }
    }
}

#[test]
fn callers_and_scripts_agree_on_the_arguments_of_a_job() {
    for (script, arity) in [("begin", BEGIN_ARITY), ("settle", SETTLE_ARITY)] {
        let source = source_of(script);
        assert_eq!(source.constant("ARITY"), Some(arity), "{script}");
    }
}
