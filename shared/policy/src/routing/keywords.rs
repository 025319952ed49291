//! Classifies prompts by keywords.

use aho_corasick::{AhoCorasick, Match};

use super::Category;

/// Bytes of a prompt that are searched: its beginning states the topic.
const HEAD: usize = 4096;

/// Searches the words of all categories at once.
#[derive(Debug)]
pub(super) struct Keywords {
    searcher: AhoCorasick,
    /// Each word with the index of its category.
    words: Vec<(String, usize)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// The index of the category.
    pub(super) category: usize,
    /// The words of the category in the prompt.
    pub(super) words: Vec<&'a str>,
}

impl Keywords {
    /// `None` if there are no words, or too many to search.
    pub(super) fn new(categories: &[Category]) -> Option<Self> {
        let words: Vec<(String, usize)> = categories
            .iter()
            .enumerate()
            .flat_map(|(at, category)| category.words.iter().map(move |word| (word.clone(), at)))
            .collect();
        if words.is_empty() {
            return None;
        }
        let searcher = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(words.iter().map(|(word, _)| word))
            .ok()?;
        Some(Self { searcher, words })
    }

    /// The category with the most distinct words in the text; of equal ones, the first.
    pub(super) fn find(&self, text: &str) -> Option<Found<'_>> {
        let text = text.get(..text.floor_char_boundary(HEAD))?;
        let mut found: Vec<usize> = Vec::new();
        for one in self.searcher.find_overlapping_iter(text) {
            let word = one.pattern().as_usize();
            if is_whole(text, &one) && !found.contains(&word) {
                found.push(word);
            }
        }
        if found.is_empty() {
            return None;
        }
        found.sort_unstable();
        let known = found.iter().filter_map(|word| self.words.get(*word));
        let of = |category: usize| {
            let known = known.clone();
            known.filter(move |(_, other)| *other == category)
        };
        // `max_by_key` returns the last maximum, so the reversed order gives the first.
        let (_, category) = known.clone().rev().max_by_key(|(_, at)| of(*at).count())?;
        Some(Found {
            category: *category,
            words: of(*category).map(|(word, _)| word.as_str()).collect(),
        })
    }
}

/// Whether a match is not part of a longer word.
fn is_whole(text: &str, one: &Match) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let before = text
        .get(..one.start())
        .and_then(|text| text.chars().next_back());
    let after = text.get(one.end()..).and_then(|text| text.chars().next());
    !before.is_some_and(is_part) && !after.is_some_and(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords() -> Keywords {
        let category = |name: &str, words: &[&str]| Category {
            name: name.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            platforms: Vec::new(),
            validators: Vec::new(),
        };
        Keywords::new(&[
            category("frontend", &["react", "ui", "form"]),
            category("devops", &["docker", "ci/cd"]),
            category("scripts", &["script", "bash"]),
        ])
        .unwrap()
    }

    fn found(text: &str) -> Option<(usize, String)> {
        let keywords = keywords();
        let found = keywords.find(text)?;
        Some((found.category, found.words.join(" ")))
    }

    #[test]
    fn words_are_whole_and_in_any_case() {
        assert_eq!(found("A REACT app").unwrap(), (0, "react".to_owned()));
        assert_eq!(found("(ci/cd)").unwrap(), (1, "ci/cd".to_owned()));
        assert_eq!(found("Bash!").unwrap(), (2, "bash".to_owned()));
        for text in [
            "",
            "reactor",
            "TypeScript, transcripts and manu_script",
            "build guides perform",
            "fruité, ÜUI",
            "ci / cd",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn the_category_with_the_most_words_is_it_and_of_two_the_first() {
        assert_eq!(found("form, docker, form").unwrap().0, 0);
        assert_eq!(found("docker for a form").unwrap().0, 0);
        let two = found("a form; docker ci/cd docker").unwrap();
        assert_eq!(two, (1, "docker ci/cd".to_owned()));
        assert_eq!(found("typescript, or a script").unwrap().0, 2);
    }

    #[test]
    fn only_the_head_of_a_prompt_is_looked_at() {
        let long = format!("{} bash", "é".repeat(4096));
        assert_eq!(found(&long), None);
        assert_eq!(Keywords::new(&[]).map(|_| ()), None);
    }
}
