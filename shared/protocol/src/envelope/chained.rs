//! A message that is a chain: the single field `chain` with a document of steps
//! (`crate::chain::parse`).

use super::{
    malformed::{Malformed, MalformedCode, shortened},
    parse::{DEEPEST, Message, MessageLimits, check_flat_versions, check_size, members_of, utf8},
};

/// A chain document holds jobs two levels down, in its list of steps.
const LEVELS_ABOVE_A_JOB: usize = 2;

impl MessageLimits {
    /// The maximum nesting depth of a chain document.
    pub(crate) fn max_chain_depth(&self) -> usize {
        self.max_depth
            .saturating_add(LEVELS_ABOVE_A_JOB)
            .min(DEEPEST)
    }
}

/// The document, if the message is a chain: a JSON object of a known version, neither too large nor too
/// deep. `None` if the message is not a chain.
pub fn chain_text<'a>(
    message: &'a Message,
    limits: &MessageLimits,
) -> Option<Result<&'a str, Malformed>> {
    let (_, document) = message.fields.iter().find(|(name, _)| name == b"chain")?;
    Some(checked(message, document, limits))
}

fn checked<'a>(
    message: &Message,
    document: &'a [u8],
    limits: &MessageLimits,
) -> Result<&'a str, Malformed> {
    check_size(message, limits.max_chain_bytes)?;
    check_flat_versions(message)?;
    let mut others = message.fields.iter().filter(|(name, _)| name != b"chain");
    if let Some((other, _)) = others.next() {
        return Err(Malformed::whole(
            MalformedCode::BothForms,
            format!(
                "expected `chain` alone, but got `chain` and `{}`",
                shortened(&String::from_utf8_lossy(other))
            ),
        ));
    }
    if message.fields.len() > 1 {
        return Err(Malformed::new(
            MalformedCode::DuplicateField,
            "chain",
            "expected it once, but got it more often",
        ));
    }
    let text = utf8(document, "chain")?;
    let (_, wrong) = members_of(text, "chain", limits.max_chain_depth())?;
    wrong.into_iter().next().map_or(Ok(text), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Option<Result<String, MalformedCode>> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let message = Message {
            fields: fields
                .iter()
                .map(|(name, value)| (bytes(name), bytes(value)))
                .collect(),
        };
        let limits = MessageLimits {
            max_bytes: 10,
            max_chain_bytes: 100,
            max_depth: 2,
            max_tool_rounds: 30,
        };
        chain_text(&message, &limits).map(|read| {
            read.map(str::to_owned).map_err(|error| {
                assert!(!error.to_string().is_empty());
                error.code
            })
        })
    }

    #[test]
    fn a_chain_is_told_from_a_job() {
        use MalformedCode as C;
        assert_eq!(read(&[("prompt", "chain")]), None);
        assert_eq!(read(&[("job", r#"{"chain":{}}"#)]), None);
        let longer_than_a_job = r#"{"steps":[{"metadata":{}}]}"#;
        assert_eq!(
            read(&[("chain", longer_than_a_job)]),
            Some(Ok(longer_than_a_job.to_owned()))
        );
        for (fields, code) in [
            (&[("chain", "{}"), ("reply", "1")][..], C::BothForms),
            (&[("job", "{}"), ("chain", "{}")], C::BothForms),
            (&[("chain", "{}"), ("chain", "{}")], C::DuplicateField),
            (&[("chain", "{}"), ("v", "2")], C::UnsupportedVersion),
            (&[("chain", r#"{"v":2}"#)], C::UnsupportedVersion),
            (&[("chain", "[]")], C::NotAnObject),
            (&[("chain", "{")], C::NotJson),
            (&[("chain", r#"{"_a":1}"#)], C::ReservedField),
            (&[("chain", r#"{"a":1,"a":1}"#)], C::DuplicateField),
            (&[("chain", r#"{"a":[[[[]]]]}"#)], C::TooDeep),
            (&[("chain", &" ".repeat(100))], C::TooLarge),
        ] {
            assert_eq!(read(fields), Some(Err(code)), "{fields:?}");
        }
    }
}
