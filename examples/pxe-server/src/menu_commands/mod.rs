//! `pxe-server menu`: boot menus shown, checked, and said in other loaders' languages, without a
//! network and without a running server.

mod check;
mod checked;
mod colour;
mod convert;
mod images;
mod language;
mod machine;
mod show;
mod site;
mod station;
mod terminal;
mod tree_files;
mod unasked;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use check::complaint;
pub(crate) use terminal::harmless_json;

/// The command line of `menu`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a menu as a machine would, or as another loader would be told it
    Show(show::Args),
    /// Say a menu in another loader's language; exit status 1 if entries are left out
    Convert(convert::Args),
    /// Check every menu that machines find in a tree; exit status 1 for errors, 2 if it cannot
    Check(check::Args),
}

/// What a wrong command line, and what cannot be read, ends with.
const UNUSABLE: u8 = 2;

/// Runs a command about menus.
pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.action {
        Action::Show(args) => show::run(args),
        Action::Convert(args) => convert::run(args),
        Action::Check(args) => check::run(args),
    };
    done.unwrap_or_else(|reason| {
        eprintln!("pxe-server: {reason}");
        ExitCode::from(UNUSABLE)
    })
}
