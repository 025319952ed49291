//! When people are told that a limit fills up.

use url::Url;

/// When and how people are told how much of a window is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// The parts of a limit, in whole percent and in order, that people are told of. Default 50, 80, 90
    /// (seed 000, "Alert Thresholds").
    pub at: Vec<u8>,
    /// Where a webhook goes each time. Default: nowhere.
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
