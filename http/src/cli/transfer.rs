//! `strongroom import openhands DIR` and `strongroom export openhands DIR`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hyper::Method;

use super::{Failure, Place, say};
use crate::config::{Environment, TokenKeys, token_keys};
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
    let keys: TokenKeys = token_keys(env)?;
    let mut road = match transfer {
        Transfer::Import { .. } => place.road_or_new(env)?,
        Transfer::Export => place.road(env)?,
    };
    let body = transfer.request(&dir, keys.secret.as_ref(), &keys.previous);
    let answered = road.ask(Method::POST, "/local/transfer", Some(body))?;
    let answer = answered.json();
    if let Some(text) = answer
        .as_ref()
        .and_then(|answer| answer.get("text")?.as_text())
    {
        say(text);
    }
    Ok(())
}
