//! The command line: verbs, what they share, and what their failures become.

mod audit;
mod purge;
mod road;
mod run;
mod secret;
mod serve;
mod takeover;
mod transfer;
mod verify;

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use strongroom_agent::child;
use strongroom_agent::isolate::Refusal;
use strongroom_agent::openhands::{FillError, ImportError, is_state_directory};
use strongroom_vault::{Opened, Options, Unlock, Vault};

use self::road::Road;
use crate::client::ClientError;
use crate::config::{self, Environment, KeysError, Unusable};
use crate::server::{BindError, Config};

/// An encrypted vault for secrets, with the REST surface of the OpenHands agent server.
#[derive(Parser)]
#[command(name = "strongroom", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 success; 1 failure; 2 the vault stays locked, or the command line or a \
                          variable can't be used. `run` ends with the status of its command, or 128 and the number \
                          of the signal that ended it; 126 and 127 if the command can't be run or found";

#[derive(Subcommand)]
enum Verb {
    /// Serve secrets over HTTP; makes the vault if there is none
    Serve(serve::Arguments),
    /// Store, read, list and delete secrets, with or without a server
    Secret(secret::Arguments),
    /// Run a command with the vault's secrets in its environment, and hide them in its output
    Run(run::Arguments),
    /// Take over the files of another program; also while a server holds the vault
    Import(transfer::Import),
    /// Write the files of another program; also while a server holds the vault
    Export(transfer::Export),
    /// Read everything in the vault and report what is damaged or missing
    Verify(Place),
    /// List who read or wrote which secret, or prove that nothing of that was changed or taken out
    Audit(audit::Arguments),
    /// Compact the vault, so that no sealed byte of what was replaced or deleted stays in its file
    Purge(Place),
}

/// Where a vault is and what opens it.
#[derive(Args)]
struct Place {
    /// Directory of the vault [default: $OH_PERSISTENCE_DIR, else the platform's place for application data,
    /// such as ~/.local/share/strongroom]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// File that holds the secret key, instead of $OH_SECRET_KEY
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    secret_key_file: Option<PathBuf>,
    /// File that holds an age identity (AGE-SECRET-KEY-...), instead of $OH_SECRET_KEY
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// A vault that was opened, and where.
struct Open {
    vault: Vault,
    opened: Opened,
    dir: PathBuf,
}

impl Place {
    fn dir(&self, env: &Environment) -> Result<PathBuf, Failure> {
        Ok(config::data_dir(self.data_dir.clone(), env)?)
    }

    /// What opens the vault.
    fn unlock(&self, env: &mut Environment) -> Result<Unlock, Failure> {
        let (file, identity) = (self.secret_key_file.as_deref(), self.identity.as_deref());
        Ok(config::unlock(file, identity, env)?)
    }

    fn open(&self, env: &mut Environment) -> Result<Open, Failure> {
        let dir = self.dir(env)?;
        if takeover::is_interrupted(&dir) {
            return Err(Failure::Interrupted(dir));
        }
        let options = config::vault_options(&config::Trail::default(), env)?;
        Open::at(dir, &self.unlock(env)?, &options)
    }

    /// What no child may see: the data, and the files that hold keys, as far as they are files. One that is not (a
    /// pipe of the shell's, say) is gone once it was read.
    fn hidden<'a>(&'a self, dir: &'a Path, env: &'a Environment) -> Vec<&'a Path> {
        let given = [&self.identity, &self.secret_key_file];
        let keys = given.into_iter().flatten().map(PathBuf::as_path);
        let keys = keys.chain(env.file()).filter(|path| path.is_file());
        std::iter::once(dir).chain(keys).collect()
    }

    /// The directory of a vault that has to be there already: opening an empty one would make a vault.
    fn existing_dir(&self, env: &Environment) -> Result<PathBuf, Failure> {
        let dir = self.dir(env)?;
        if !dir.join("vault").exists() && !takeover::is_interrupted(&dir) {
            return Err(Failure::NoVault(dir));
        }
        Ok(dir)
    }

    /// The road to a vault that has to be there already, or to the server that holds it.
    fn road(&self, env: &mut Environment) -> Result<Road, Failure> {
        self.existing_dir(env)?;
        self.road_or_new(env)
    }

    /// The road to a vault, which is made if there is none.
    fn road_or_new(&self, env: &mut Environment) -> Result<Road, Failure> {
        let dir = self.dir(env)?;
        // A vault made past it would keep `serve` from taking the state over.
        if !dir.join("vault").exists() && is_state_directory(&dir) {
            return Err(Failure::NotTakenOver(dir));
        }
        let config = Config {
            tokens: config::token_keys(env)?.keys(),
            log_completions_folder: config::log_completions_folder(env)?,
            ..Config::default()
        };
        let opened = self.open(env);
        if let Ok(open) = &opened {
            open.say_notes();
        }
        Road::to(opened, config, &dir)
    }
}

impl Open {
    fn at(dir: PathBuf, unlock: &Unlock, options: &Options) -> Result<Self, Failure> {
        let (vault, opened) = Vault::open(&dir, unlock, options)?;
        Ok(Self { vault, opened, dir })
    }

    /// Says what a person has to know about the keys; not on standard output: that is for what was asked for.
    fn say_notes(&self) {
        for line in self.key_notes() {
            let _ = writeln!(std::io::stderr(), "Keys: {line}");
        }
    }

    /// What a person has to know about the keys.
    fn key_notes(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.opened.notes.iter().map(ToString::to_string).collect();
        let identity = self.opened.automatic_identity.as_ref();
        if let Some(identity) = identity.filter(|_| self.opened.created) {
            lines.push(format!(
                "a new vault opens with the identity in {}, which lies beside the data; back it up, or set \
                 OH_SECRET_KEY",
                identity.display()
            ));
        }
        lines
    }
}

/// Why a command ends without success.
enum Failure {
    Setting(Unusable),
    Vault(strongroom_vault::Error),
    Bind(BindError),
    System(&'static str, std::io::Error),
    NoVault(PathBuf),
    Client(ClientError),
    /// The server's words.
    Refused(String),
    /// There is no secret of this name, or it has no value.
    Absent(String),
    Input(&'static str),
    /// A secret is not to be had, or not to be handed over.
    Secret(String),
    /// The command that was to run could not be started, or watched.
    Child(child::Error),
    /// What is to be started can't be isolated, which was required.
    Isolation(Refusal),
    /// `verify` has said what it found.
    Damaged,
    /// `audit` has said what it found.
    Trail,
    /// The state directory of an agent-server that was to be taken over can't be.
    Import(ImportError),
    /// This directory holds the state of an agent-server and no vault.
    NotTakenOver(PathBuf),
    /// Taking over the state in this directory was begun and not finished.
    Interrupted(PathBuf),
    /// What was taken over can't be put into the vault.
    Fill(FillError),
}

impl Failure {
    fn code(&self) -> u8 {
        use strongroom_vault::Error as V;
        match self {
            // As shells and `env` have it.
            Self::Child(child::Error::NotFound { .. }) => 127,
            Self::Child(child::Error::NotAllowed { .. }) => 126,
            Self::Setting(_)
            | Self::Import(_)
            | Self::Bind(BindError::NeedsKey(_) | BindError::AnyOrigin)
            | Self::Vault(V::Locked(_) | V::BadKey { .. }) => 2,
            Self::Vault(_)
            | Self::Bind(_)
            | Self::System(..)
            | Self::NoVault(_)
            | Self::NotTakenOver(_)
            | Self::Interrupted(_)
            | Self::Client(_)
            | Self::Refused(_)
            | Self::Absent(_)
            | Self::Input(_)
            | Self::Secret(_)
            | Self::Child(_)
            | Self::Isolation(_)
            | Self::Fill(_)
            | Self::Trail
            | Self::Damaged => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(unusable) => unusable.fmt(f),
            Self::Vault(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::System(doing, error) => write!(f, "{doing}: {error}"),
            Self::NoVault(dir) => write!(
                f,
                "there is no vault in {}; give --data-dir, or make one with `strongroom serve`",
                dir.display()
            ),
            Self::Client(error) => error.fmt(f),
            Self::Refused(words) => f.write_str(words),
            Self::Absent(name) => write!(
                f,
                "there is no secret {name:?} in the vault; `strongroom secret list` shows those that there are"
            ),
            Self::Input(why) => f.write_str(why),
            Self::Secret(why) => f.write_str(why),
            Self::Child(error) => with_source(f, error),
            Self::Isolation(refusal) => write!(f, "nothing was started. {refusal}"),
            Self::Import(error) => write!(
                f,
                "the directory holds the state of an OpenHands agent-server, and {error}; no file was changed"
            ),
            Self::NotTakenOver(dir) => write!(
                f,
                "{} holds the state of an OpenHands agent-server and no vault yet; `strongroom serve` takes it over",
                dir.display()
            ),
            Self::Interrupted(dir) => write!(
                f,
                "taking over the agent-server's state in {} was interrupted; `strongroom serve` finishes it, with the \
                 state's files (settings.json, secrets.json, ..) in their place",
                dir.display()
            ),
            Self::Fill(error) => error.fmt(f),
            Self::Damaged => f.write_str("the vault is damaged, see above"),
            Self::Trail => {
                f.write_str("the audit trail was tampered with or is damaged, see above")
            }
        }
    }
}

/// An error, and the one that lies under it.
fn with_source(f: &mut fmt::Formatter<'_>, error: &dyn std::error::Error) -> fmt::Result {
    match error.source() {
        Some(source) => write!(f, "{error}: {source}"),
        None => write!(f, "{error}"),
    }
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        Self::Setting(unusable)
    }
}

impl From<strongroom_vault::Error> for Failure {
    fn from(error: strongroom_vault::Error) -> Self {
        Self::Vault(error)
    }
}

impl From<child::Error> for Failure {
    fn from(error: child::Error) -> Self {
        Self::Child(error)
    }
}

impl From<strongroom_agent::secrets::Error> for Failure {
    fn from(error: strongroom_agent::secrets::Error) -> Self {
        let source = std::error::Error::source(&error);
        Self::Secret(match source {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Setting(unusable) => Self::Setting(unusable),
            KeysError::File(error) => Self::Vault(error),
        }
    }
}

/// Runs the command line `args`, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>, env: Environment) -> ExitCode {
    crate::harden::quiet_panics();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match run(&cli.verb, env) {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "strongroom: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(verb: &Verb, env: Environment) -> Result<ExitCode, Failure> {
    let mut env = env.with_file()?;
    match verb {
        Verb::Run(arguments) => run::run(arguments, &mut env),
        Verb::Serve(arguments) => done(serve::run(arguments, env)),
        Verb::Secret(arguments) => done(secret::run(arguments, &mut env)),
        Verb::Import(arguments) => done(transfer::import(arguments, &mut env)),
        Verb::Export(arguments) => done(transfer::export(arguments, &mut env)),
        Verb::Verify(place) => done(verify::run(place, &mut env)),
        Verb::Audit(arguments) => done(audit::run(arguments, &mut env)),
        Verb::Purge(place) => done(purge::run(place, &mut env)),
    }
}

fn done(verb: Result<(), Failure>) -> Result<ExitCode, Failure> {
    verb.map(|()| ExitCode::SUCCESS)
}

/// Writes lines to standard output. That nobody reads them is no reason to stop.
fn say(lines: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{lines}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_exit_codes_are_in_the_help() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("Exit codes: 0 success"), "{help}");
    }

    #[test]
    fn two_kinds_of_key_exclude_each_other() {
        let args = [
            "strongroom",
            "verify",
            "--identity",
            "a",
            "--secret-key-file",
            "b",
        ];
        assert!(Cli::try_parse_from(args).is_err());
    }
}
