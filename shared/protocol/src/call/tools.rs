//! Tools that a model may call, and its calls of them, in the forms of OpenAI's Chat Completions.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::message::object;

/// A function that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub parameters: Option<Value>,
    /// Whether the arguments must follow the schema exactly.
    pub strict: Option<bool>,
}

impl Serialize for Tool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let function = object([
            ("name", Some(json!(self.name))),
            (
                "description",
                self.description.as_ref().map(|text| json!(text)),
            ),
            ("parameters", self.parameters.clone()),
            ("strict", self.strict.map(Value::from)),
        ]);
        json!({"type": "function", "function": function}).serialize(serializer)
    }
}

/// Which tools a model may or must call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// None of them.
    None,
    /// As the model decides.
    Auto,
    /// At least one.
    Required,
    /// The function of this name.
    Function(String),
}

impl ToolChoice {
    /// Whether the model must call a tool.
    pub fn is_forced(&self) -> bool {
        matches!(self, Self::Required | Self::Function(_))
    }
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => "none".serialize(serializer),
            Self::Auto => "auto".serialize(serializer),
            Self::Required => "required".serialize(serializer),
            Self::Function(name) => {
                json!({"type": "function", "function": {"name": name}}).serialize(serializer)
            }
        }
    }
}

string_enum! {
    /// The kind of a tool call.
    ToolKind {
        Function = "function",
    }
}

/// A model's call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: String,
    #[serde(rename = "type", default = "function")]
    pub kind: ToolKind,
    pub function: FunctionCall,
    /// Other members, such as the signature of a thought that Gemini wants back.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn function() -> ToolKind {
    ToolKind::Function
}

/// The function that a model calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionCall {
    pub name: String,
    /// The arguments as JSON text, as the model wrote them: they may not follow the schema.
    pub arguments: String,
}

impl ToolCall {
    /// A call without other members.
    pub fn new(id: impl Into<String>, name: &str, arguments: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: ToolKind::Function,
            function: FunctionCall {
                name: name.to_owned(),
                arguments: arguments.into(),
            },
            extra: Map::new(),
        }
    }

    /// The arguments as an object, for providers that want one. Text that is none becomes its only member.
    pub fn arguments(&self) -> Value {
        let text = self.function.arguments.trim();
        match serde_json::from_str(text) {
            Ok(object @ Value::Object(_)) => object,
            _ if text.is_empty() => json!({}),
            _ => json!({"arguments": text}),
        }
    }
}
