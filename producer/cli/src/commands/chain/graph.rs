//! `longshore chain graph`: a chain as a text that Mermaid or Graphviz draws.

use std::path::Path;

use longshore_shared::chain::{self, ChainId};

use super::input;
use crate::{
    error::{CommandError, Done},
    output,
    session::Session,
};

/// In which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    /// For Mermaid, which GitHub draws.
    #[default]
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A chain that was begun, or the file of one, JSON or YAML; `-` reads stdin
    #[arg(value_name = "ID|FILE")]
    of: String,
    /// Mermaid (GitHub draws it) or dot (Graphviz does)
    #[arg(long, value_enum, default_value_t)]
    format: Language,
}

/// Draws.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let of = &arguments.of;
    let path = Path::new(of);
    let text = if of == "-" || path.is_file() {
        input::read(path)?
    } else {
        begun(of, session).await?
    };
    let document = chain::parse(&text, &session.config.limits)
        .map_err(|bad| CommandError::Input(bad.to_string()))?;
    let drawn = match arguments.format {
        Language::Mermaid => chain::mermaid(&document),
        Language::Dot => chain::dot(&document),
    };
    output::line(drawn.trim_end());
    Ok(Done::Success)
}

async fn begun(of: &str, session: &Session) -> Result<String, CommandError> {
    let id = ChainId::parse(of)
        .map_err(|error| CommandError::Input(format!("`{of}` is no file, and {error}")))?;
    let document = session.broker().await?.chain_doc(&id).await?;
    document.ok_or_else(|| {
        CommandError::Input(format!(
            "`{of}` is no file, and Redis has no document of a chain of this id: one that ended over a week ago is kept \
             no longer (`retention.chains`)"
        ))
    })
}
