//! `longshore completions`: prints a script that completes commands in a shell.

use std::io;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::error::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Install it once:
  bash  longshore completions bash > ~/.local/share/bash-completion/completions/longshore
  zsh   longshore completions zsh > \"${fpath[1]}/_longshore\"
  fish  longshore completions fish > ~/.config/fish/completions/longshore.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Exit {
    let mut script = Vec::new();
    let mut command = crate::Arguments::command();
    generate(arguments.shell, &mut command, "longshore", &mut script);
    // A closed pipe (`| head`) is not an error.
    let _closed = io::Write::write_all(&mut io::stdout(), &script);
    Exit::Success
}
