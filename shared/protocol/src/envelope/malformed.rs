//! Errors in a message, worded so that its producer can fix them.

string_enum! {
    /// The kind of an error in a message; the reason of its dead letter.
    MalformedCode {
        /// A text is not UTF-8.
        NotUtf8 = "not_utf8",
        /// `job` is not JSON.
        NotJson = "not_json",
        /// `job` is JSON, but not an object.
        NotAnObject = "not_an_object",
        /// `job` together with flat fields.
        BothForms = "both_forms",
        /// No `prompt` and no `messages`, or an empty one.
        NoPrompt = "no_prompt",
        /// A field of the wrong type.
        WrongType = "wrong_type",
        /// A number or size outside of its range.
        OutOfRange = "out_of_range",
        /// A value of the right type in the wrong form, or in conflict with another field.
        BadValue = "bad_value",
        /// Lists and objects nest too deep.
        TooDeep = "too_deep",
        /// The message is too large.
        TooLarge = "too_large",
        /// An id in the form that the server assigns.
        ReservedId = "reserved_id",
        /// A field whose name begins with `_`.
        ReservedField = "reserved_field",
        /// A field given twice.
        DuplicateField = "duplicate_field",
        /// A version newer than this build supports.
        UnsupportedVersion = "unsupported_version",
        /// A chain document with errors; the message lists all of them.
        BadChain = "bad_chain",
        /// A feature that this protocol version does not have.
        Unsupported = "unsupported",
    }
}

/// Why a message is not a valid job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", prefix(self.field.as_deref()))]
pub struct Malformed {
    pub code: MalformedCode,
    /// The field with the error, if it is in one field.
    pub field: Option<String>,
    /// What is wrong and what is expected.
    pub message: String,
    /// The version of the message, if the error is its version.
    pub version: Option<u64>,
}

/// All errors of a message; at least one. Displays one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.clone().into_iter().map(|wrong| wrong.to_string()).collect::<Vec<_>>().join("\n"))]
pub struct AllMalformed {
    pub first: Malformed,
    pub others: Vec<Malformed>,
}

impl AllMalformed {
    /// An error if there is any.
    pub(crate) fn none_of(wrong: Vec<Malformed>) -> Result<(), Self> {
        let mut wrong = wrong.into_iter();
        match wrong.next() {
            None => Ok(()),
            Some(first) => Err(Self {
                first,
                others: wrong.collect(),
            }),
        }
    }
}

impl From<Malformed> for AllMalformed {
    fn from(first: Malformed) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl IntoIterator for AllMalformed {
    type Item = Malformed;
    type IntoIter = std::iter::Chain<std::iter::Once<Malformed>, std::vec::IntoIter<Malformed>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.others)
    }
}

fn prefix(field: Option<&str>) -> String {
    field.map_or_else(String::new, |name| format!("field `{}`: ", shortened(name)))
}

impl Malformed {
    /// An error of the message as a whole.
    pub(crate) fn whole(code: MalformedCode, message: impl Into<String>) -> Self {
        Self {
            code,
            field: None,
            message: message.into(),
            version: None,
        }
    }

    /// An error in one field.
    pub(crate) fn new(code: MalformedCode, field: &str, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::whole(code, message)
        }
    }
}

/// The start of a text that may be long, on one line.
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
