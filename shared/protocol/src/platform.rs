//! Platform names, and the tiers and capabilities of their models.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a platform: 1 to 64 characters of `[a-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlatformName(String);

impl PlatformName {
    /// Parses a name; converts capitals to lower case.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ((1..=64).contains(&name.len()) && name.chars().all(allowed)).then_some(Self(name))
    }

    /// A name from Longshore's own data; not checked.
    pub fn from_stored(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlatformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_enum! {
    /// How capable and how expensive a model is.
    Tier {
        /// Small, fast and cheap.
        Fast = "fast",
        Standard = "standard",
        /// The most capable.
        Advanced = "advanced",
    }
}

string_enum! {
    /// What a model is good at, or supports.
    Capability {
        /// Code generation and editing.
        Code = "code",
        /// Analysis and understanding.
        Analysis = "analysis",
        /// Strategic planning and architecture.
        Planning = "planning",
        /// Review of code and plans.
        Review = "review",
        /// Advanced reasoning.
        ComplexReasoning = "complex_reasoning",
        /// Documentation.
        Docs = "docs",
        /// Simple, routine tasks.
        SimpleTasks = "simple_tasks",
        /// Supports tool calls.
        Tools = "tools",
        /// Supports answers that follow a JSON schema.
        JsonSchema = "json_schema",
        /// Thinks before it answers, as much as a call asks for.
        Reasoning = "reasoning",
        /// Reads images.
        Vision = "vision",
        /// Reads PDF files.
        Files = "files",
        /// Hears sound.
        Audio = "audio",
    }
}

impl Tier {
    /// The rank of the tier; a higher tier has a higher rank.
    pub fn rank(self) -> u8 {
        match self {
            Self::Fast => 0,
            Self::Standard => 1,
            Self::Advanced => 2,
        }
    }

    /// What a model of this tier is good at if the catalog lists nothing: kinds of work, not features
    /// of its API.
    pub fn capabilities(self) -> &'static [Capability] {
        use Capability::{Analysis, Code, ComplexReasoning, Docs, Planning, Review, SimpleTasks};
        match self {
            Self::Fast => &[Code, Docs, SimpleTasks],
            Self::Standard => &[Code, Analysis, Planning, Review, Docs, SimpleTasks],
            Self::Advanced => &[Code, Analysis, Planning, Review, ComplexReasoning, Docs],
        }
    }
}
