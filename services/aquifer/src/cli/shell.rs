//! What helps to use the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
bash: aquifer completions bash > ~/.local/share/bash-completion/completions/aquifer
zsh:  aquifer completions zsh > DIR/_aquifer, with DIR in $fpath
fish: aquifer completions fish > ~/.config/fish/completions/aquifer.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: ShellName,
}

/// A shell that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellName {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// The folder, such as /usr/share/man/man1; made if it is not there
    pub dir: PathBuf,
}
