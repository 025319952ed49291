//! "Did you mean …?"

use std::cmp::Reverse;

/// The candidate nearest to a mistyped name, if one is near: at most three edits, and at most half of
/// the name's characters.
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
    fn only_a_near_name_is_offered() {
        let known = ["LONGSHORE_QUEUES", "LONGSHORE_LISTEN"];
        assert_eq!(
            closest("LONGSHORE_QUEUE", known.into_iter()),
            Some("LONGSHORE_QUEUES")
        );
        assert_eq!(closest("LONGSHORE_COLOUR", known.into_iter()), None);
    }
}
