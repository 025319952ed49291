//! Finds the tenant of a message without parsing the rest of it.

use std::borrow::Cow;

use serde::Deserialize;

use super::RawMessage;

#[derive(Deserialize)]
struct Whose<'a> {
    #[serde(borrow)]
    tenant: Option<Cow<'a, str>>,
}

/// The tenant of a message, as far as a quick look shows. [`parse`](super::parse) finds what is wrong
/// with a message.
pub fn tenant_of(message: &RawMessage) -> Option<Cow<'_, str>> {
    let field = |name: &[u8]| {
        let (_, value) = message.fields.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    };
    match field(b"job").or_else(|| field(b"chain")) {
        Some(json) => serde_json::from_str::<Whose<'_>>(json).ok()?.tenant,
        None => field(b"tenant").map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(fields: &[(&str, &str)]) -> Option<String> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let message = RawMessage {
            fields: fields
                .iter()
                .map(|(name, value)| (bytes(name), bytes(value)))
                .collect(),
        };
        tenant_of(&message).map(Cow::into_owned)
    }

    #[test]
    fn both_forms_name_their_tenant() {
        assert_eq!(
            tenant(&[("prompt", "x"), ("tenant", "acme")]).as_deref(),
            Some("acme")
        );
        let job = r#"{"prompt":"x","metadata":{"tenant":"other"},"tenant":"ac\u006de"}"#;
        assert_eq!(tenant(&[("job", job)]).as_deref(), Some("acme"));
    }

    #[test]
    fn what_names_none_or_cannot_be_read_has_none() {
        for job in [r#"{"prompt":"x"}"#, r#"{"tenant":7}"#, "no JSON", "[]"] {
            assert_eq!(tenant(&[("job", job)]), None, "{job}");
        }
        assert_eq!(tenant(&[("prompt", "x")]), None);
    }
}
