//! What can be wrong with a message, said so that its producer can put it right.

string_enum! {
    /// What kind of mistake a message has.
    MalformedCode {
        /// A text is not UTF-8.
        NotUtf8 = "not_utf8",
        /// `job` is not JSON.
        NotJson = "not_json",
        /// `job` is JSON, but not an object.
        NotAnObject = "not_an_object",
        /// `job` and flat fields at once.
        BothForms = "both_forms",
        /// Neither `prompt` nor `messages`, or nothing in them.
        NoPrompt = "no_prompt",
        /// A field of the wrong type.
        WrongType = "wrong_type",
        /// A number or a size outside of what is allowed.
        OutOfRange = "out_of_range",
        /// A value of the right type that is not of the right form, or does not go with another.
        BadValue = "bad_value",
        /// Lists and objects nest too deep.
        TooDeep = "too_deep",
        /// More bytes than a message may have.
        TooLarge = "too_large",
        /// An id of the form that the server gives.
        ReservedId = "reserved_id",
        /// A field whose name begins with `_`.
        ReservedField = "reserved_field",
        /// A field given twice.
        DuplicateField = "duplicate_field",
        /// A version newer than this build knows: not wrong, but not for us.
        UnsupportedVersion = "unsupported_version",
        /// A chain whose document has mistakes; the reason names all of them.
        BadChain = "bad_chain",
        /// Something that this version of the protocol does not have.
        Unsupported = "unsupported",
    }
}

/// Why a message is not a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", prefix(self.field.as_deref()))]
pub struct Malformed {
    /// What kind of mistake it is.
    pub code: MalformedCode,
    /// The field that it is in, if it is in one.
    pub field: Option<String>,
    /// What is wrong and what would be right, for people.
    pub message: String,
    /// The version that the message claims, where that is what is wrong.
    pub version: Option<u64>,
}

fn prefix(field: Option<&str>) -> String {
    field.map_or_else(String::new, |name| format!("field `{}`: ", shortened(name)))
}

impl Malformed {
    /// A mistake of the message as a whole.
    pub(crate) fn whole(code: MalformedCode, message: impl Into<String>) -> Self {
        Self {
            code,
            field: None,
            message: message.into(),
            version: None,
        }
    }

    /// A mistake in one field.
    pub(crate) fn of(code: MalformedCode, field: &str, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::whole(code, message)
        }
    }
}

/// The head of a text that may be long, on one line.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut chars = text.chars();
    let mut head: String = chars
        .by_ref()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if chars.next().is_some() {
        head.push('…');
    }
    head
}
