//! `strongroom import openhands DIR` and `strongroom export openhands DIR`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use strongroom_agent::settings::Store;

use super::{Failure, Place, say};
use crate::config::{Environment, TokenKeys, log_completions_folder, token_keys};
use crate::transfer::Transfer;

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The state directory of an OpenHands agent-server
    Openhands,
}

#[derive(Args)]
pub(super) struct Import {
    /// Whose files they are
    format: Format,
    /// The directory to read; it is left as it is
    dir: PathBuf,
    /// Overwrite settings, secrets and profiles that are there already
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(super) struct Export {
    /// Whose files they are
    format: Format,
    /// The directory to write; new or empty
    dir: PathBuf,
    #[command(flatten)]
    place: Place,
}

pub(super) fn import(arguments: &Import, env: &mut Environment) -> Result<(), Failure> {
    let transfer = Transfer::Import {
        replace: arguments.replace,
    };
    let Format::Openhands = arguments.format;
    run(&transfer, &arguments.dir, &arguments.place, env)
}

pub(super) fn export(arguments: &Export, env: &mut Environment) -> Result<(), Failure> {
    let Format::Openhands = arguments.format;
    run(&Transfer::Export, &arguments.dir, &arguments.place, env)
}

fn run(
    transfer: &Transfer,
    dir: &Path,
    place: &Place,
    env: &mut Environment,
) -> Result<(), Failure> {
    let dir = std::path::absolute(dir)
        .map_err(|error| Failure::System("can't find the directory", error))?;
    let data_dir = place.dir(env)?;
    let keys: TokenKeys = token_keys(env)?;
    #[cfg(unix)]
    if let Some(answer) = crate::local::ask(
        &data_dir,
        transfer,
        &dir,
        keys.secret.as_ref(),
        &keys.previous,
    ) {
        return answer.map(|text| say(&text)).map_err(Failure::Told);
    }
    let folder = log_completions_folder(env)?;
    let open = match transfer {
        Transfer::Import { .. } => place.open(env)?,
        Transfer::Export => place.open_existing(env)?,
    };
    let store = Store::new(open.vault, keys.keys(), folder)?;
    let text = crate::transfer::run(transfer, &store, None, &dir);
    say(&text.map_err(|error| Failure::Told(error.to_string()))?);
    let _ = data_dir;
    Ok(())
}
