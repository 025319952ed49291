//! Estimates the tokens of a prompt before a provider counts them.

use std::sync::LazyLock;

use longshore_protocol::{
    call::{Answer, Call, CallParams, ChatMessage, Part, decoded_length},
    envelope::Envelope,
};
use serde::Serialize;
use tiktoken_rs::CoreBPE;

use crate::catalog::{ModelEntry, PromptBound};

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

/// Tokens that providers add to a prompt with tools, for their own instructions.
const FOR_TOOLS: u64 = 1_000;

/// The most tokens of an image for any model but those of [`DEAR_IMAGES`].
const MOST_PER_IMAGE: u64 = 10_000;

/// Models that count far more tokens for an image, by a part of their name, and how many.
const DEAR_IMAGES: [(&str, u64); 1] = [("gpt-4o-mini", 50_000)];

/// Tokens of an image as they usually are.
const USUAL_PER_IMAGE: u64 = 1_600;

/// Bytes of a file, and of sound, that are usually one token.
const BYTES_PER_FILE_TOKEN: u64 = 16;
const BYTES_PER_AUDIO_TOKEN: u64 = 250;

/// What a call sends to the model.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    messages: &'a [ChatMessage],
    system: Option<&'a str>,
    params: &'a CallParams,
}

impl<'a> Prompt<'a> {
    /// The prompt of a job.
    pub fn of(envelope: &'a Envelope) -> Self {
        Self {
            messages: &envelope.messages,
            system: envelope.system.as_deref(),
            params: &envelope.params,
        }
    }

    /// The prompt of a call.
    pub fn of_call(call: &'a Call) -> Self {
        Self {
            messages: &call.messages,
            system: call.system.as_deref(),
            params: &call.params,
        }
    }

    /// The most tokens that the prompt can have for a model. Every token of a text has at least one byte. An image has
    /// at most so many as the service documents. A text file has its bytes, other files may fill the model's
    /// window: their pages are counted, and may be compressed. Sound has a token for each byte at most. Very cheap.
    pub fn upper_bound(&self, model: &ModelEntry) -> PromptBound {
        let dear = DEAR_IMAGES
            .iter()
            .find(|(part, _)| model.model.contains(part));
        let per_image = dear.map_or(MOST_PER_IMAGE, |(_, tokens)| *tokens);
        let media = self.media(|part| match part {
            Part::Text(_) => 0,
            Part::Image { .. } => per_image,
            Part::File { data, .. } if data.media_type.starts_with("text/") => {
                wide(decoded_length(&data.base64))
            }
            Part::File { .. } => model.context_window,
            Part::Audio { base64, .. } => wide(decoded_length(base64)),
        });
        PromptBound {
            tokens: self.text_bound().saturating_add(media),
            has_sound: self.media(|part| u64::from(may_be_sound(part))) > 0,
        }
    }

    /// The most tokens that the texts can have, and those that images, files and sound usually have: for choosing a
    /// model, not for money.
    pub fn expected_bound(&self) -> u64 {
        self.text_bound().saturating_add(self.usual_media())
    }

    /// The approximate number of tokens, counted with the vocabulary of OpenAI's models; counts of other
    /// providers differ by up to a third. Prompts over 32 KiB are sampled, so a long prompt takes no longer
    /// (some milliseconds) than a short one.
    pub fn estimate(&self) -> u64 {
        let most = self.text_bound();
        let texts: Vec<&str> = self.texts().collect();
        let all: u64 = texts.iter().map(|text| wide(text.len())).sum();
        let rest = most.saturating_sub(all);
        let counted = count(&texts).map_or(most, |counted| (counted + rest).min(most));
        counted.saturating_add(self.usual_media())
    }

    fn texts(&self) -> impl Iterator<Item = &'a str> {
        let messages = self.messages.iter().flat_map(ChatMessage::texts);
        self.system.into_iter().chain(messages)
    }

    fn text_bound(&self) -> u64 {
        let texts: u64 = self.texts().map(|text| wide(text.len())).sum();
        let count = self.messages.len() + usize::from(self.system.is_some());
        let others: u64 = self.messages.iter().map(other_members).sum();
        let schema = self.params.json_schema().map_or(0, json_length);
        let tools = match self.params.tools.as_slice() {
            [] => 0,
            tools => FOR_TOOLS + json_length(tools),
        };
        texts + PER_MESSAGE * wide(count) + others + schema + tools
    }

    fn usual_media(&self) -> u64 {
        self.media(|part| match part {
            Part::Text(_) => 0,
            Part::Image { .. } => USUAL_PER_IMAGE,
            Part::File { data, .. } => wide(decoded_length(&data.base64)) / BYTES_PER_FILE_TOKEN,
            Part::Audio { base64, .. } => wide(decoded_length(base64)) / BYTES_PER_AUDIO_TOKEN,
        })
    }

    fn media(&self, tokens: impl Fn(&Part) -> u64) -> u64 {
        let parts = self.messages.iter().flat_map(ChatMessage::parts);
        parts.map(tokens).fold(0, u64::saturating_add)
    }
}

/// Whether a provider may count tokens of sound for a part: films have sound, too.
fn may_be_sound(part: &Part) -> bool {
    match part {
        Part::Text(_) | Part::Image { .. } => false,
        Part::File { data, .. } => {
            !data.media_type.starts_with("text/") && data.media_type != "application/pdf"
        }
        Part::Audio { .. } => true,
    }
}

/// The approximate number of tokens of an answer; at least 1.
pub fn estimate_answer(answer: &Answer) -> u64 {
    let text = count(&[&answer.output]).unwrap_or(wide(answer.output.len()));
    let calls = answer.tool_calls.iter().map(|call| {
        let function = &call.function;
        count(&[&function.name, &function.arguments]).unwrap_or(wide(function.arguments.len()))
    });
    (text + calls.sum::<u64>()).max(1)
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

/// Bytes of the calls of tools and the other members of a message.
fn other_members(message: &ChatMessage) -> u64 {
    let id = message.tool_call_id.as_ref().map_or(0, |id| wide(id.len()));
    let calls = match message.tool_calls.as_slice() {
        [] => 0,
        calls => json_length(calls),
    };
    let extra = if message.extra.is_empty() {
        0
    } else {
        json_length(&message.extra)
    };
    id + calls + extra
}

fn json_length<T: Serialize + ?Sized>(value: &T) -> u64 {
    serde_json::to_string(value).map_or(0, |json| wide(json.len()))
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

    use longshore_protocol::{
        call::{Content, ImageSource, InlineData, Role, Tool, ToolCall},
        platform::{PlatformName, Tier},
    };
    use serde_json::json;

    use super::*;
    use crate::catalog::{PriceBook, Rates};

    fn said(text: &str) -> Vec<ChatMessage> {
        vec![ChatMessage::new(Role::User, text)]
    }

    fn prompt<'a>(messages: &'a [ChatMessage], system: Option<&'a str>) -> Prompt<'a> {
        static NOTHING: LazyLock<CallParams> = LazyLock::new(CallParams::default);
        Prompt {
            messages,
            system,
            params: &NOTHING,
        }
    }

    fn model(name: &str) -> ModelEntry {
        ModelEntry {
            provider: PlatformName::from_stored("p"),
            model: name.to_owned(),
            tier: Tier::Fast,
            capabilities: Vec::new(),
            untold: true,
            context_window: 200_000,
            max_output_tokens: 1_000,
            withdrawn: None,
            prices: PriceBook::new(Rates::FREE.into(), Vec::new()),
        }
    }

    fn bound(messages: &[ChatMessage], system: Option<&str>) -> u64 {
        prompt(messages, system).upper_bound(&model("m")).tokens
    }

    fn estimate(messages: &[ChatMessage], system: Option<&str>) -> u64 {
        prompt(messages, system).estimate()
    }

    #[test]
    fn no_prompt_has_more_tokens_than_bytes() {
        assert_eq!(bound(&said("Grüße"), None), 7 + 4);
        assert_eq!(bound(&said("Hi"), Some("Brief.")), 2 + 4 + 6 + 4);
        let mut called = said("");
        called[0].tool_calls = vec![ToolCall::new("1", "f", "{}")];
        let json = r#"[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]"#;
        assert_eq!(bound(&called, None), wide(json.len()) + 4);
    }

    #[test]
    fn images_files_and_sound_are_not_counted_as_text() {
        let data = |media_type: &str| InlineData {
            media_type: media_type.to_owned(),
            base64: "A".repeat(400_000),
        };
        let with = |part: Part| {
            let mut messages = said("");
            messages[0].content = Content::Parts(vec![part]);
            messages
        };
        let file = |media_type| Part::File {
            data: data(media_type),
            filename: None,
        };
        let image = || Part::Image {
            source: ImageSource::Inline(data("image/png")),
            detail: None,
        };
        let audio = Part::Audio {
            format: "wav".to_owned(),
            base64: "A".repeat(400_000),
        };
        for (part, name, most, usual, has_sound) in [
            (image(), "m", 10_000, 1_600, false),
            (image(), "openai/gpt-4o-mini", 50_000, 1_600, false),
            (file("text/plain"), "m", 300_000, 18_750, false),
            (file("application/pdf"), "m", 200_000, 18_750, false),
            (file("video/mp4"), "m", 200_000, 18_750, true),
            (audio, "m", 300_000, 1_200, true),
        ] {
            let messages = with(part);
            let prompt = prompt(&messages, None);
            let bound = PromptBound {
                tokens: most + 4,
                has_sound,
            };
            assert_eq!(prompt.upper_bound(&model(name)), bound, "{name}");
            assert_eq!(prompt.expected_bound(), usual + 4, "{name}");
            assert_eq!(prompt.estimate(), usual + 4, "{name}");
        }
    }

    #[test]
    fn tools_and_schemas_are_counted() {
        let messages = said("x");
        let mut params = CallParams::default();
        let tool = Tool {
            name: "weather".to_owned(),
            description: Some("y".repeat(1_000)),
            parameters: None,
            strict: None,
        };
        params.tools.push(tool);
        params.response_format = Some(json!({"json_schema": {"schema": {"type": "object"}}}));
        let prompt = Prompt {
            messages: &messages,
            system: None,
            params: &params,
        };
        let tools = r#"[{"type":"function","function":{"name":"weather","description":""}}]"#;
        let schema = r#"{"type":"object"}"#;
        let expected = 1 + 4 + FOR_TOOLS + wide(tools.len()) + 1_000 + wide(schema.len());
        assert_eq!(prompt.upper_bound(&model("m")).tokens, expected);
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
