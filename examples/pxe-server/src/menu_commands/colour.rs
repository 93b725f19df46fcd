//! Whether reports have colours.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use pxe_menu::Paint;

/// Whether reports have colours.
#[derive(Debug, clap::Args)]
pub(super) struct ColourArgs {
    /// Colours: by default on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl ColourArgs {
    /// Those of the standard output.
    pub(super) fn paint(&self) -> Paint {
        self.paint_for(std::io::stdout().is_terminal())
    }

    /// Those of the standard error.
    pub(super) fn paint_errors(&self) -> Paint {
        self.paint_for(std::io::stderr().is_terminal())
    }

    fn paint_for(&self, is_terminal: bool) -> Paint {
        // If it is there and not empty (no-color.org).
        let is_unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.color {
            When::Always => Paint::Ansi,
            When::Auto if is_terminal && !is_unwanted() => Paint::Ansi,
            _ => Paint::Plain,
        }
    }
}
