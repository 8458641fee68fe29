//! `strongroom run`: a command with the vault's secrets in its environment, and its output masked.
//!
//! The vault is closed, and its keys are wiped, before the command starts: what stays is the table of fingerprints
//! that masks.

mod relay;
mod terminal;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use strongroom_agent::child::{LACKS, Launch};
use strongroom_agent::fernet;
use strongroom_agent::inject::{Handed, Show};
use strongroom_agent::isolate::{Availability, Guard, Isolation};
use strongroom_agent::lender::{Lender, NAMESPACE};
use strongroom_agent::redact::{Redactor, ValueId};
use strongroom_agent::settings::Store;
use strongroom_vault::audit::{Event, Operation, Verdict, Who};
use strongroom_vault::{Error as VaultError, Name, Plaintext, Vault};

use self::relay::Streams;
use super::road::Road;
use super::{Failure, Place, secret};
use crate::client::ClientError;
use crate::config::{self, Environment};
use crate::harden;
use crate::routes::secrets::PURPOSE;
use crate::server::Config;
use crate::several;

#[derive(Args)]
pub(super) struct Arguments {
    /// Secrets that CMD gets in its environment [default: all in the vault]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Let secrets be seen in CMD's output
    #[arg(long)]
    no_mask: bool,
    /// Hand this secret over as a file, whose path is in NAME_FILE, instead of in NAME; may be repeated
    #[arg(long, value_name = "NAME")]
    secret_fd: Vec<String>,
    /// Further variables of this environment that CMD gets; only those that say who, where and in which language
    /// pass otherwise
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pass: Vec<OsString>,
    /// Whether to keep the vault's own files out of CMD's reach: auto (where the system allows it), require, off
    /// [default: $STRONGROOM_ISOLATE, else auto]
    #[arg(long, value_name = "WHEN")]
    isolate: Option<Isolation>,
    #[command(flatten)]
    place: Place,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What CMD gets, and what hides it afterwards.
struct Given {
    variables: Vec<(String, Plaintext)>,
    files: Vec<(String, Plaintext)>,
    redactor: Redactor,
}

pub(super) fn run(arguments: &Arguments, env: &mut Environment) -> Result<ExitCode, Failure> {
    // What this system lacks is said by `serve`; here it would stand in the way of CMD's own words.
    let _ = harden::private();
    let dir = arguments.place.existing_dir(env)?;
    // Before any key is read: see there.
    let guard = isolated(arguments, env, &dir)?;
    let given = gather(arguments, env, &dir)?;
    let redactor = (!arguments.no_mask).then(|| given.redactor.clone());
    let streams = Streams::plan(redactor)?;
    let launch = launch(arguments, given, &guard)?;
    let exit = streams.run(launch)?;
    Ok(ExitCode::from(
        u8::try_from(exit.code() & 0xff).unwrap_or(u8::MAX),
    ))
}

fn isolated(arguments: &Arguments, env: &Environment, dir: &Path) -> Result<Guard, Failure> {
    let hidden = arguments.place.hidden(dir, env);
    let guard = config::isolation(arguments.isolate, env)?
        .prepare(&hidden)
        .map_err(Failure::Isolation)?;
    if let Availability::Refused(refusal) = guard.availability() {
        warn(&format!(
            "CMD is not isolated and can read the vault's key. {refusal}"
        ));
    }
    if let Some(lacks) = LACKS {
        warn(lacks);
    }
    Ok(guard)
}

fn launch(arguments: &Arguments, given: Given, guard: &Guard) -> Result<Launch, Failure> {
    let mut words = arguments.command.iter();
    let program = words.next().cloned().unwrap_or_default(); // there is one, says clap
    let mut launch = Launch::new(program, guard).arguments(words);
    for name in &arguments.pass {
        launch.environment().inherit(name)?;
    }
    for (name, value) in &given.variables {
        launch.secret(name, value)?;
    }
    for (name, value) in given.files {
        let variable = format!("{name}_FILE");
        if given.variables.iter().any(|(other, _)| *other == variable) {
            return Err(Failure::Secret(format!(
                "the secret {variable} and the file of {name} want the same variable; leave one out with --only"
            )));
        }
        launch.hand(variable, handed(value)?, Show::Path)?;
    }
    Ok(launch)
}

fn handed(value: Plaintext) -> Result<Handed, Failure> {
    let file = match cfg!(target_os = "linux") {
        true => Handed::sealed(&value),
        false => Handed::piped(value),
    };
    file.map_err(|error| Failure::System("can't hand a secret over as a file", error))
}

/// Reads what CMD shall get, from the data directory or from the server that holds it, and lets go of both.
fn gather(arguments: &Arguments, env: &mut Environment, dir: &Path) -> Result<Given, Failure> {
    // Before they are taken.
    let own = config::own_keys(env)?;
    let given = gather_from(arguments, env, dir)?;
    for (number, (name, key)) in own.iter().enumerate() {
        let id = ValueId::new(name, &number.to_string());
        let learnt = given.redactor.learn(&id, key);
        learnt.map_err(|error| Failure::Secret(format!("{name}: {error}")))?;
    }
    Ok(given)
}

fn gather_from(arguments: &Arguments, env: &mut Environment, dir: &Path) -> Result<Given, Failure> {
    match arguments.place.open(env) {
        Ok(open) => {
            open.say_notes();
            from_vault(&open.vault, arguments)
        }
        Err(Failure::Vault(error @ VaultError::InUse { .. })) => {
            let road = Road::to(Err(Failure::Vault(error)), Config::default(), dir)?;
            from_server(road, arguments)
        }
        Err(failure) => Err(failure),
    }
}

fn from_vault(vault: &Vault, arguments: &Arguments) -> Result<Given, Failure> {
    let lender = Lender::new(vault)?;
    let store = Store::new(vault.clone(), fernet::Keys::none(), String::new())?;
    store.mask_with(lender.clone());
    store.learn_all()?;
    let names = lender
        .list()?
        .into_iter()
        .map(|record| record.name.as_str().to_owned());
    let who = Who::owner().with("run");
    let given = choose(
        arguments,
        &names.collect::<Vec<_>>(),
        lender.redactor(),
        |name| {
            let record = Name::new(name)?;
            let value = lender.value(&record)?;
            vault.note(&Event {
                who: &who,
                operation: Operation::Inject,
                namespace: Some(lender.namespace()),
                name: Some(&record),
                version: value.as_ref().map(|value| value.version),
                verdict: match &value {
                    Some(_) => Verdict::Done,
                    None => Verdict::Absent,
                },
            })?;
            value.map(|value| value.bytes).ok_or_else(|| absent(name))
        },
    )?;
    // CMD does not start before it is on disk that it has them.
    vault.flush_audit()?;
    Ok(given)
}

fn from_server(mut road: Road, arguments: &Arguments) -> Result<Given, Failure> {
    let answered = road.ask(Method::GET, secret::ROUTE, None)?;
    let names = secret::listed(&answered)?.into_iter().map(|(name, _)| name);
    let names: Vec<String> = names.collect();
    let redactor = Redactor::new().map_err(|error| Failure::Secret(error.to_string()))?;
    let learn = |source, name: &str, value: &Plaintext| {
        let learnt = redactor.learn(&ValueId::new(source, name), value);
        learnt.map_err(|error| Failure::Secret(format!("{name}: {error}")))
    };
    if !arguments.no_mask {
        // CMD may come across one that it does not get: all are masked, as without a server.
        for name in &names {
            for value in several(&mut road, &secret::path_below("/local/versions", name))? {
                learn(NAMESPACE, name, &value)?;
            }
        }
        let credentials = several(&mut road, "/local/credentials")?;
        for (number, value) in credentials.iter().enumerate() {
            learn("settings", &format!("credential {}", number + 1), value)?;
        }
    }
    let learnt = |name: &str| -> Result<Plaintext, Failure> {
        let path = format!("{}?{PURPOSE}=run", secret::path(name));
        let answered = road.ask(Method::GET, &path, None)?;
        let value = Plaintext::copy_of(&answered.body);
        learn(NAMESPACE, name, &value)?;
        Ok(value)
    };
    choose(arguments, &names, &redactor, learnt)
}

fn several(road: &mut Road, path: &str) -> Result<Vec<Plaintext>, Failure> {
    let answered = road.ask(Method::GET, path, None)?;
    several::split(&answered.body).ok_or(Failure::Client(ClientError::Answer))
}

/// Takes the secrets that are wanted, of those that there are.
fn choose(
    arguments: &Arguments,
    names: &[String],
    redactor: &Redactor,
    mut value: impl FnMut(&str) -> Result<Plaintext, Failure>,
) -> Result<Given, Failure> {
    let as_files = &arguments.secret_fd;
    let wanted = arguments.only.as_deref().unwrap_or(names);
    let mut given = Given {
        variables: Vec::new(),
        files: Vec::new(),
        redactor: redactor.clone(),
    };
    for name in wanted.iter().chain(as_files) {
        if !names.contains(name) {
            return Err(absent(name));
        }
    }
    for name in names {
        if as_files.contains(name) {
            given.files.push((name.clone(), value(name)?));
        } else if wanted.contains(name) {
            match value(name) {
                Ok(value) => given.variables.push((name.clone(), value)),
                // Nobody asked for this one by name.
                Err(Failure::Refused(_) | Failure::Absent(_)) if arguments.only.is_none() => {
                    warn(&format!("the secret {name} has no value and is left out"));
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    Ok(given)
}

fn absent(name: &str) -> Failure {
    Failure::Absent(name.to_owned())
}

pub(super) fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "strongroom: {text}");
}
