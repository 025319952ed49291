//! The version that programs print.

use std::sync::LazyLock;

/// The release, and the commit that it was built from: `0.1.0 (5709604a1b2c)`. `make dist` names the commit.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let build = option_env!("LONGSHORE_COMMIT").unwrap_or("development build");
    format!("{} ({build})", env!("CARGO_PKG_VERSION"))
});
