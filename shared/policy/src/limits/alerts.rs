//! Alerts about limits that fill up.

use url::Url;

/// When alerts are raised and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// Percentages of a limit that raise an alert, ascending. Default 50 (daily checkpoint), 80 (high
    /// usage) and 90 (critical).
    pub at: Vec<u8>,
    /// The webhook of each alert. Default: none.
    pub webhook: Option<Url>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            at: vec![50, 80, 90],
            webhook: None,
        }
    }
}
