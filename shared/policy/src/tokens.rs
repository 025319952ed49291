//! Estimates the tokens of a prompt before a provider counts them.

use std::sync::LazyLock;

use longshore_protocol::call::ChatMessage;
use tiktoken_rs::CoreBPE;

/// Tokens that are reserved for an answer if its job sets no limit; corrected after the call.
pub const TYPICAL_ANSWER: u32 = 1_000;

/// Tokens that chat formats add to each message for its role and delimiters.
const PER_MESSAGE: u64 = 4;

/// Bytes that are tokenized at once. A cut adds at most one token; short pieces prevent the tokenizer's
/// pattern from rescanning long runs of spaces.
const PIECE: usize = 1024;

/// The most pieces that are tokenized; longer prompts are sampled at even distances.
const MOST_PIECES: usize = 32;

/// OpenAI's vocabulary `o200k_base`: about 40 MB, loaded with the first long prompt.
static VOCABULARY: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::o200k_base().ok());

/// The most tokens that a prompt can have, because every token has at least one byte. Very cheap.
pub fn upper_bound(messages: &[ChatMessage], system: Option<&str>) -> u64 {
    let bytes = system.map_or(0, |text| wide(text.len()) + PER_MESSAGE);
    messages.iter().fold(bytes, |sum, message| {
        sum + wide(message.content.len()) + extra(message) + PER_MESSAGE
    })
}

/// The approximate number of tokens, counted with the vocabulary of OpenAI's models; counts of other
/// providers differ by up to a third. Prompts over 32 KiB are sampled, so a long prompt takes no longer
/// (some milliseconds) than a short one.
pub fn estimate(messages: &[ChatMessage], system: Option<&str>) -> u64 {
    let most = upper_bound(messages, system);
    let texts: Vec<&str> = system
        .into_iter()
        .chain(messages.iter().map(|one| one.content.as_str()))
        .collect();
    let Some(counted) = count(&texts) else {
        return most;
    };
    let all: u64 = texts.iter().map(|text| wide(text.len())).sum();
    let rest = most.saturating_sub(all);
    (counted + rest).min(most)
}

/// The same for an answer; at least 1.
pub fn estimate_answer(output: &str) -> u64 {
    count(&[output]).unwrap_or(wide(output.len())).max(1)
}

/// The approximate number of tokens of all texts; `None` without a vocabulary.
fn count(texts: &[&str]) -> Option<u64> {
    let vocabulary = VOCABULARY.as_ref()?;
    let parts = || texts.iter().copied().flat_map(pieces);
    let step = parts().count().div_ceil(MOST_PIECES).max(1);
    let (mut tokens, mut bytes) = (0, 0);
    for piece in parts().step_by(step) {
        tokens += wide(vocabulary.encode_ordinary(piece).len());
        bytes += wide(piece.len());
    }
    let all: u64 = texts.iter().map(|text| wide(text.len())).sum();
    let counted = u128::from(tokens) * u128::from(all) / u128::from(bytes.max(1));
    Some(u64::try_from(counted).unwrap_or(u64::MAX))
}

/// Bytes of the other members of a message.
fn extra(message: &ChatMessage) -> u64 {
    if message.extra.is_empty() {
        return 0;
    }
    serde_json::to_string(&message.extra).map_or(0, |json| wide(json.len()))
}

/// Cuts a text into pieces at character boundaries.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut left = text;
    std::iter::from_fn(move || {
        let (piece, rest) = left.split_at_checked(left.floor_char_boundary(PIECE))?;
        left = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use longshore_protocol::call::Role;
    use serde_json::json;

    use super::*;

    fn said(text: &str) -> Vec<ChatMessage> {
        vec![ChatMessage {
            role: Role::User,
            content: text.to_owned(),
            extra: serde_json::Map::new(),
        }]
    }

    #[test]
    fn no_prompt_has_more_tokens_than_bytes() {
        assert_eq!(upper_bound(&said("Grüße"), None), 7 + 4);
        assert_eq!(upper_bound(&said("Hi"), Some("Brief.")), 2 + 4 + 6 + 4);
        let mut called = said("");
        let call = json!([{"id": "1"}]);
        called[0].extra.insert("tool_calls".to_owned(), call);
        assert_eq!(upper_bound(&called, None), 27 + 4);
    }

    #[test]
    fn words_are_counted_as_openai_does() {
        // "hello world" is two tokens of o200k_base.
        assert_eq!(estimate(&said("hello world"), None), 2 + 4);
        assert_eq!(
            estimate(&said("hello world"), Some("hello world")),
            2 * (2 + 4)
        );
    }

    #[test]
    fn a_long_prompt_is_estimated_by_pieces_of_it() {
        let line = "The quick brown fox jumps over the lazy dog. ";
        let short = estimate(&said(&line.repeat(100)), None);
        let long = estimate(&said(&line.repeat(10_000)), None);
        let exact = short * 100;
        assert!(long.abs_diff(exact) < exact / 50, "{long} and {exact}");
    }

    #[test]
    fn hostile_texts_take_no_longer() {
        estimate(&said("load the vocabulary"), None);
        for text in ["a", " ", "\u{1f600}", "a\u{301}", "\r\n", "=", "  x"] {
            let begun = Instant::now();
            let tokens = estimate(&said(&text.repeat(1 << 20)), Some(text));
            assert!(tokens > 0);
            let took = begun.elapsed().as_secs();
            assert!(took < 5, "{text:?} took {took} s, unoptimized");
        }
    }
}
