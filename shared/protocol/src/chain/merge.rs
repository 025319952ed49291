//! Merges that need no model: which of several answers is taken, and why.

use serde_json::Value;

use super::{Merge, code::code_blocks, template::json_of};
use crate::outcome::Outcome;

/// The answer that a merge takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its index among all outcomes.
    pub chosen: usize,
    /// How many models gave this answer, if the merge counts that.
    pub agreed: Option<u32>,
    /// Why, for people.
    pub explanation: String,
}

/// Chooses among the outcomes of several models. `None` for a merge that makes a new answer. An error says why no answer
/// fits.
pub fn choose(merge: &Merge, outcomes: &[Outcome]) -> Option<Result<Choice, String>> {
    let answers: Vec<(usize, &str)> = answers(outcomes).collect();
    let count = answers.len();
    Some(match merge {
        Merge::First => {
            let ended = |(index, _): &&(usize, &str)| {
                let outcome = outcomes.get(*index);
                outcome.map(|outcome| outcome.queued_ms.saturating_add(outcome.duration_ms))
            };
            let first = answers.iter().min_by_key(ended);
            chosen(first, "the first answer".to_owned())
        }
        Merge::Longest => {
            let longest = first_max(&answers, |answer| answer.chars().count());
            chosen(longest, format!("the longest of {count} answers"))
        }
        Merge::Code => {
            let most =
                first_max(&answers, code_length).filter(|(_, answer)| code_length(answer) > 0);
            match most {
                None if count > 0 => Err("no answer has a block of code".to_owned()),
                most => chosen(most, format!("the answer with the most code, of {count}")),
            }
        }
        Merge::Vote { field } => vote(&answers, field.as_deref()),
        Merge::BestOf { .. } | Merge::Synthesize { .. } | Merge::Verdicts => return None,
    })
}

/// The answers, each with its index among the outcomes.
pub fn answers(outcomes: &[Outcome]) -> impl Iterator<Item = (usize, &str)> {
    let outcomes = outcomes.iter().enumerate();
    outcomes.filter_map(|(index, outcome)| {
        let output = outcome.output.as_deref().filter(|_| outcome.success)?;
        Some((index, output))
    })
}

fn chosen(found: Option<&(usize, &str)>, explanation: String) -> Result<Choice, String> {
    let (index, _) = found.ok_or("no model answered")?;
    Ok(Choice {
        chosen: *index,
        agreed: None,
        explanation,
    })
}

/// The first of the largest.
fn first_max<'a, 'b>(
    answers: &'a [(usize, &'b str)],
    size: impl Fn(&str) -> usize,
) -> Option<&'a (usize, &'b str)> {
    // `max_by_key` returns the last maximum.
    answers.iter().rev().max_by_key(|(_, answer)| size(answer))
}

fn code_length(answer: &str) -> usize {
    let blocks = code_blocks(answer);
    blocks.iter().map(|block| block.code.len()).sum()
}

/// The answer that most models gave; of equally many, the one of the model that was named first.
fn vote(answers: &[(usize, &str)], field: Option<&str>) -> Result<Choice, String> {
    let ballots: Vec<(usize, String)> = answers
        .iter()
        .filter_map(|(index, answer)| {
            Some((
                *index,
                match field {
                    None => normalized(answer),
                    Some(field) => ballot(answer, field)?,
                },
            ))
        })
        .collect();
    let votes = |text: &str| ballots.iter().filter(|(_, other)| other == text).count();
    let most = ballots.iter().rev().max_by_key(|(_, text)| votes(text));
    let Some((index, text)) = most else {
        return Err(match field {
            Some(field) if !answers.is_empty() => {
                format!("no answer is JSON with the member `{field}`")
            }
            _ => "no model answered".to_owned(),
        });
    };
    let agreed = votes(text);
    Ok(Choice {
        chosen: *index,
        agreed: u32::try_from(agreed).ok(),
        explanation: format!("{agreed} of {} answers agree", answers.len()),
    })
}

/// The member of an answer in JSON by which votes are compared.
fn ballot(answer: &str, field: &str) -> Option<String> {
    let json = json_of(answer).ok()?;
    let mut names = field.split('.');
    let member = names.try_fold(&json, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    })?;
    Some(match member {
        Value::String(text) => normalized(text),
        other => other.to_string(),
    })
}

/// The text without differences that mean nothing: case, white space, and punctuation around it.
fn normalized(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let text = words.join(" ");
    let is_frame = |c: char| c.is_ascii_punctuation() && !matches!(c, '-' | '+' | '$' | '%');
    text.trim_matches(is_frame).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::JobId, state::JobState};

    fn outcomes(answers: &[Option<&str>]) -> Vec<Outcome> {
        let answered = |(at, answer): (usize, Option<&str>)| {
            let id = JobId::parse(&format!("c/ask/{at}")).unwrap();
            Outcome {
                success: answer.is_some(),
                output: answer.map(str::to_owned),
                duration_ms: 1_000 - u64::try_from(at).unwrap(),
                ..Outcome::without_calls(id, JobState::Completed, "server", "down".to_owned())
            }
        };
        answers.iter().copied().enumerate().map(answered).collect()
    }

    fn choice(merge: &Merge, answers: &[Option<&str>]) -> Result<(usize, Option<u32>), String> {
        let choice = choose(merge, &outcomes(answers)).unwrap();
        choice.map(|choice| (choice.chosen, choice.agreed))
    }

    fn by(field: &str) -> Merge {
        Merge::Vote {
            field: Some(field.to_owned()),
        }
    }

    #[test]
    fn most_votes_win_and_of_equals_the_first() {
        let vote = Merge::Vote { field: None };
        let answers = [
            Some("No."),
            Some("Yes"),
            None,
            Some(" yes!\n"),
            Some("**YES**"),
        ];
        assert_eq!(choice(&vote, &answers), Ok((1, Some(3))));
        assert_eq!(choice(&vote, &[Some("b"), Some("a")]), Ok((0, Some(1))));
        assert_eq!(
            choice(&vote, &[Some("-1"), Some("1"), Some("1.")]),
            Ok((1, Some(2)))
        );
        assert_eq!(choice(&vote, &[None]), Err("no model answered".to_owned()));
    }

    #[test]
    fn votes_may_count_a_member() {
        let answers = [
            Some(r#"{"label": {"name": "Spam"}, "why": "x"}"#),
            Some("no JSON"),
            Some("```json\n{\"label\": {\"name\": \"ham\"}}\n```"),
            Some(r#"{"label": {"name": "HAM"}, "why": "y"}"#),
        ];
        assert_eq!(choice(&by("label.name"), &answers), Ok((2, Some(2))));
        let wrong = choice(&by("labels"), &answers).unwrap_err();
        assert_eq!(wrong, "no answer is JSON with the member `labels`");
    }

    #[test]
    fn other_merges_choose_by_length_code_or_time() {
        let answers = [
            Some("much longer words"),
            Some("```\nx = 1\n```"),
            None,
            Some("`y`"),
        ];
        assert_eq!(choice(&Merge::Longest, &answers), Ok((0, None)));
        assert_eq!(choice(&Merge::Code, &answers), Ok((1, None)));
        assert_eq!(choice(&Merge::First, &answers), Ok((3, None)));
        let wrong = choice(&Merge::Code, &[Some("words")]).unwrap_err();
        assert_eq!(wrong, "no answer has a block of code");
        assert_eq!(choose(&Merge::BestOf { rubric: None }, &[]), None);
    }
}
