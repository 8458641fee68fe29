//! `strongroom serve`.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use strongroom_agent::isolate::{Availability, Guard, Isolation};
use tokio::runtime::Builder;

use super::takeover::TakeOver;
use super::{Failure, Open, Place, say};
use crate::config::{self, Environment, Trail};
use crate::harden::harden;
use crate::limits::{POOL_IDLE_SECONDS, POOL_THREADS_MAX};
use crate::server::Server;
use crate::transfer::told;

#[derive(Args)]
pub(super) struct Arguments {
    /// Address to listen on [default: 127.0.0.1 without a session key, 0.0.0.0 with one]
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Keep working directories, files and repositories to this tree
    #[arg(long, value_name = "DIR")]
    workspace_root: Option<PathBuf>,
    /// Whether to keep the vault's own files out of the agent's reach: auto (where the system allows it), require, off
    /// [default: $STRONGROOM_ISOLATE, else auto]
    #[arg(long, value_name = "WHEN")]
    isolate: Option<Isolation>,
    /// Look up no secret at an address of this machine or of a private network [default:
    /// $STRONGROOM_LOOKUP_DENY_PRIVATE]
    #[arg(long)]
    lookup_deny_private: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    foreign: Foreign,
}

/// What the reference takes, so that its command lines go on working.
#[derive(Args)]
struct Foreign {
    /// Has no effect: there is no source to watch
    #[arg(long)]
    reload: bool,
    /// Say that there is no browser here, and end
    #[arg(long)]
    check_browser: bool,
    /// Has no effect: there is no Python here
    #[arg(long, value_name = "MODULES")]
    import_modules: Option<String>,
    /// Has no effect: there is no Python here
    #[arg(long, value_name = "DIRS")]
    extra_python_path: Option<String>,
}

impl Foreign {
    fn notes(&self) -> Vec<&'static str> {
        let mut notes = Vec::new();
        if self.reload {
            notes.push("--reload has no effect: the program does not change while it runs");
        }
        if self.import_modules.is_some() {
            notes.push("--import-modules has no effect: this program runs no Python and loads no custom tools");
        }
        if self.extra_python_path.is_some() {
            notes.push("--extra-python-path has no effect: this program runs no Python");
        }
        notes
    }
}

pub(super) fn run(arguments: &Arguments, mut env: Environment) -> Result<(), Failure> {
    if arguments.foreign.check_browser {
        return Err(Failure::Input(
            "the browser check fails: this program has no browser",
        ));
    }
    let mut notes: Vec<String> = harden().into_iter().map(str::to_owned).collect();
    notes.extend(arguments.foreign.notes().into_iter().map(str::to_owned));
    notes.extend_from_slice(env.notes());
    let mut config = config::server(arguments.host.as_deref(), arguments.port, &mut env)?;
    config.workspace_root.clone_from(&arguments.workspace_root);
    config.lookup.deny_private |= arguments.lookup_deny_private;
    let open_to_all = config.keys.is_empty();
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(POOL_THREADS_MAX)
        .thread_keep_alive(Duration::from_secs(POOL_IDLE_SECONDS))
        .build()
        .map_err(|error| Failure::System("can't start the runtime", error))?;
    config.check().map_err(Failure::Bind)?;
    let dir = arguments.place.dir(&env)?;
    let found = TakeOver::find(&dir, &config)?;
    config.guard = guard(arguments, &env, &dir)?;
    let hidden = arguments.place.hidden(&dir, &env).into_iter();
    config.hidden = hidden.map(Path::to_owned).collect();
    let isolation = config.guard.availability();
    // A key that can't be had leaves the directory as it was.
    let unlock = arguments.place.unlock(&mut env)?;
    let options = config::vault_options(&arguments.trail, &env)?;
    drop(env);
    if found.is_some() {
        TakeOver::begin(&dir)?;
    }
    let open = Open::at(dir, &unlock, &options)?;
    let report = found.map(|found| found.finish(&open)).transpose()?;
    let served = runtime.block_on(async {
        let stopped =
            stop_signal().map_err(|error| Failure::System("can't listen for signals", error))?;
        let server = Server::bind(config, open.vault.clone())
            .await
            .map_err(Failure::Bind)?;
        let address = server.local_addr();
        say(&greeting(address, &open, open_to_all, &isolation, &notes));
        if let Some(report) = &report {
            say(&told(report));
        }
        server.run(stopped).await;
        Ok(())
    });
    // What still runs was given its time.
    runtime.shutdown_background();
    served
}

/// What the agent's commands are put behind; made before a key of the vault is in memory. What is covered has to be
/// there, so a first start makes the directory of the data here.
fn guard(arguments: &Arguments, env: &Environment, dir: &Path) -> Result<Guard, Failure> {
    let isolation = config::isolation(arguments.isolate, env)?;
    let made = isolation != Isolation::Off && !dir.exists();
    if made {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let built = builder.recursive(true).create(dir);
        built.map_err(|error| Failure::System("can't make the data directory", error))?;
    }
    let guard = isolation.prepare(&arguments.place.hidden(dir, env));
    if made && guard.is_err() {
        // Nothing is left of a start that was none.
        let _ = std::fs::remove_dir(dir);
    }
    guard.map_err(Failure::Isolation)
}

/// What a person has to know, and nothing secret.
fn greeting(
    address: SocketAddr,
    Open { vault, opened, dir }: &Open,
    open_to_all: bool,
    isolation: &Availability,
    notes: &[String],
) -> String {
    let mut text = format!("Starting OpenHands Agent Server on {address}\n");
    let made = if opened.created {
        " (made just now)"
    } else {
        ""
    };
    // A text never refuses what is written to it.
    let _ = writeln!(
        text,
        "Strongroom {} listens on http://{address}",
        env!("CARGO_PKG_VERSION")
    );
    let _ = writeln!(
        text,
        "Data: {}{made}, opened by slot {}",
        dir.display(),
        opened.slot
    );
    for note in &opened.notes {
        let _ = writeln!(text, "Keys: {note}");
    }
    if let Some(identity) = &opened.automatic_identity {
        let _ = writeln!(
            text,
            "Keys: no key was given, so the vault opens with the identity in {}. It lies beside the data: whoever \
             copies the directory can open the copy. Back it up; without it the data is lost. To protect the data by \
             a key kept elsewhere, set OH_SECRET_KEY.",
            identity.display()
        );
    }
    text.push_str(if open_to_all {
        "Access: NO SESSION KEY. Every process on this machine can read every secret. Set SESSION_API_KEY to \
         change that; until then only requests to localhost are answered."
    } else {
        "Access: send a session key (SESSION_API_KEY or OH_SESSION_API_KEYS) in the header X-Session-API-Key."
    });
    if !vault.keys_are_locked() {
        text.push_str(
            "\nNote: the system does not lock the memory of the vault's keys, so they may be written to swap; allow it \
             some 64 KiB (ulimit -l, LimitMEMLOCK=).",
        );
    }
    let _ = write!(text, "\nIsolation of the agent: {isolation}.");
    for note in notes {
        let _ = write!(text, "\nNote: {note}.");
    }
    text
}

/// Ready at the first SIGTERM or SIGINT. The handlers are in place when this returns.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

/// Ready at Ctrl-C; this system has no SIGTERM.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without the handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
