//! `completions`: what a shell needs to complete commands and options, from the same table as `--help`.

use super::Context;
use crate::fault::Exit;
use clap::Args;
use clap_complete::Shell;

/// `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh completions bash > ~/.local/share/bash-completion/completions/aidmesh\n  \
    aidmesh completions fish > ~/.config/fish/completions/aidmesh.fish")]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

impl Completions {
    pub(super) fn act(self, context: &mut Context) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "aidmesh", &mut script);
        context.screen.raw(&script);
        Exit::Fine
    }
}
