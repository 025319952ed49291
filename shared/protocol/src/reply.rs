//! Where the outcome of a job or chain is pushed.

use std::fmt;

use crate::id::ReaderName;

/// Marks the name of a reader in the field `reply`, so that no misspelt boolean is one.
const READER: char = '@';

/// Where an outcome is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// `{ns}:reply:ID`, for all who may read replies.
    Anyone,
    /// `{ns}:reply-to:NAME:ID`, for those who may read the replies of this name.
    Reader(ReaderName),
}

impl ReplyTo {
    /// Parses `@NAME`; `None` for any other text.
    pub fn parse_reader(value: &str) -> Option<Self> {
        let name = ReaderName::parse(value.strip_prefix(READER)?).ok()?;
        Some(Self::Reader(name))
    }
}

/// As in the field `reply`.
impl fmt::Display for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("true"),
            Self::Reader(name) => write!(f, "{READER}{name}"),
        }
    }
}
