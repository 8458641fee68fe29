//! `strongroom serve`.

use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
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
    let config = config::server(arguments.host.as_deref(), arguments.port, &mut env)?;
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
        say(&greeting(server.local_addr(), &open, open_to_all, &notes));
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

/// What a person has to know, and nothing secret.
fn greeting(
    address: SocketAddr,
    Open { opened, dir, .. }: &Open,
    open_to_all: bool,
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
