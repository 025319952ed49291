//! `longshore chain graph`: prints a chain as a Mermaid or Graphviz graph.

use std::path::Path;

use longshore_client::ChainId;
use longshore_protocol::chain::{dot, mermaid};

use super::input::{self, Written};
use crate::{
    error::{CommandError, Exit},
    output,
    session::Session,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    /// Mermaid, which GitHub renders.
    #[default]
    Mermaid,
    /// Graphviz.
    Dot,
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id of a chain, or a chain document, JSON or YAML; `-` reads stdin
    #[arg(value_name = "ID|FILE")]
    source: String,
    /// Mermaid (rendered by GitHub) or dot (rendered by Graphviz)
    #[arg(long, value_enum, default_value_t)]
    format: Language,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let source = &arguments.source;
    let path = Path::new(source);
    let written = if source == "-" || path.is_file() {
        input::read_document(path)?
    } else {
        Written::from_json(stored_document(source, session).await?)
    };
    let chain = written.parse_chain(&session.config.limits)?;
    let drawn = match arguments.format {
        Language::Mermaid => mermaid(chain.document()),
        Language::Dot => dot(chain.document()),
    };
    output::line(drawn.trim_end());
    Ok(Exit::Success)
}

async fn stored_document(source: &str, session: &Session) -> Result<String, CommandError> {
    let id = ChainId::parse_any(source)
        .map_err(|error| CommandError::Input(format!("`{source}` is not a file, and {error}")))?;
    let document = session.broker().await?.chains().document(&id).await?;
    document.ok_or_else(|| {
        CommandError::Input(format!(
            "`{source}` is not a file, and Redis has no chain with this id; it keeps a chain for `retention.chains` after \
             its end (default: a week)"
        ))
    })
}
