//! "Did you mean …?"

use std::cmp::Reverse;

/// The candidate closest to a mistyped name: at most three edits, and at most half of the characters of
/// the name, away.
pub fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| {
            let shared = name.chars().zip(candidate.chars());
            let shared = shared.take_while(|(a, b)| a == b).count();
            let edits = strsim::levenshtein(name, candidate);
            (edits, Reverse(shared), candidate)
        })
        .filter(|(edits, ..)| *edits <= 3 && edits * 2 <= name.chars().count())
        .min()
        .map(|(.., candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_a_close_name() {
        let known = ["LONGSHORE_QUEUES", "LONGSHORE_LISTEN"];
        assert_eq!(
            closest("LONGSHORE_QUEUE", known.into_iter()),
            Some("LONGSHORE_QUEUES")
        );
        assert_eq!(closest("LONGSHORE_COLOUR", known.into_iter()), None);
    }
}
