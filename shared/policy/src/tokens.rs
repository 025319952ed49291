//! How many tokens a prompt has, before any provider has counted them.

use std::sync::LazyLock;

use longshore_protocol::call::Message;
use tiktoken_rs::CoreBPE;

/// Tokens that an answer is taken to have before there is one, where its job names no limit; what is known
/// after the call is set right.
pub const TYPICAL_ANSWER: u32 = 1_000;

/// Tokens that a chat form adds to each message, for its role and its borders.
const PER_MESSAGE: u64 = 4;

/// Bytes that are tokenized at once. A cut costs at most one token too many; short pieces keep the
/// tokenizer's pattern from going over a long run of spaces again and again.
const PIECE: usize = 1024;

/// The most pieces that are tokenized; of longer prompts, so many are taken at even distances.
const MOST_PIECES: usize = 32;

/// OpenAI's vocabulary `o200k_base`. It takes some 40 MB, which a process pays with its first long
/// prompt.
static VOCABULARY: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::o200k_base().ok());

/// The most tokens that a prompt can have: no token is shorter than a byte. Costs next to nothing.
pub fn upper_bound(messages: &[Message], system: Option<&str>) -> u64 {
    let bytes = system.map_or(0, |text| wide(text.len()) + PER_MESSAGE);
    messages.iter().fold(bytes, |sum, message| {
        sum + wide(message.content.len()) + extra(message) + PER_MESSAGE
    })
}

/// About how many tokens a prompt has, counted with the vocabulary of OpenAI's models; other providers'
/// counts differ by up to a third. Of a prompt over 32 KiB, pieces of it are counted, so that a long one
/// takes no more time (some milliseconds) than a short one.
pub fn estimate(messages: &[Message], system: Option<&str>) -> u64 {
    let most = upper_bound(messages, system);
    let Some(vocabulary) = &*VOCABULARY else {
        return most;
    };
    let texts = || {
        system
            .into_iter()
            .chain(messages.iter().map(|one| one.content.as_str()))
    };
    let step = texts()
        .flat_map(pieces)
        .count()
        .div_ceil(MOST_PIECES)
        .max(1);
    let (mut tokens, mut bytes) = (0, 0);
    for piece in texts().flat_map(pieces).step_by(step) {
        tokens += wide(vocabulary.encode_ordinary(piece).len());
        bytes += wide(piece.len());
    }
    let all: u64 = texts().map(|text| wide(text.len())).sum();
    let rest = most.saturating_sub(all);
    let counted = u128::from(tokens) * u128::from(all) / u128::from(bytes.max(1));
    (u64::try_from(counted).unwrap_or(u64::MAX) + rest).min(most)
}

/// Bytes of what else a message holds.
fn extra(message: &Message) -> u64 {
    if message.extra.is_empty() {
        return 0;
    }
    serde_json::to_string(&message.extra).map_or(0, |json| wide(json.len()))
}

/// A text cut into pieces, never within a character.
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

    use serde_json::json;

    use super::*;
    use longshore_protocol::call::Role;

    fn said(text: &str) -> Vec<Message> {
        vec![Message {
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
