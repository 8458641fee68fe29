//! From the start of the program to its first answer; what it takes of memory and disk.

use std::path::Path;
use std::process::{Command, ExitCode};

use strongroom_benches::load::{self, Client};
use strongroom_benches::process::{Server, built, strongroom};
use strongroom_benches::records;
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{interleave, once};
use strongroom_benches::{Failure, Result};
use strongroom_vault::{Key, Options, Plaintext, Unlock, Vault};
use tempfile::TempDir;

const SECRETS: usize = 1_000;
const MEBIBYTE: f64 = 1024.0 * 1024.0;
const SECRET_KEY: &str = "a key that a machine keeps";

fn main() -> ExitCode {
    run("start", |report| {
        let program = built("strongroom-http", "strongroom")?;
        let dir = TempDir::new()?;
        starts(report, &program, dir.path())?;
        sizes(report, &program, dir.path())
    })
}

fn starts(report: &mut Report, program: &Path, dir: &Path) -> Result<()> {
    let (identity, passphrase) = (dir.join("identity"), dir.join("passphrase"));
    make(&identity, &Unlock::default())?;
    let key = || Plaintext::copy_of(SECRET_KEY.as_bytes());
    make(
        &passphrase,
        &Unlock {
            given: Some(Key::Passphrase(key())),
            previous: Vec::new(),
        },
    )?;
    report.table(
        "start to the first 200, which holds a secret",
        &format!("{SECRETS} secrets, files in the page cache, stopped by SIGTERM in between"),
    );
    let [nothing, by_identity, by_passphrase, scrypt] = interleave(
        report.setting.rounds(),
        [
            &mut || {
                let (seconds, done) = once(|| Ok(Command::new("/bin/true").status()?))?;
                if done.success() {
                    Ok(seconds)
                } else {
                    Err(Failure::from("/bin/true fails"))
                }
            },
            &mut || {
                let file = identity.join("identity.txt");
                first_answer(strongroom(program, &identity).arg("--identity").arg(file))
            },
            &mut || first_answer(strongroom(program, &passphrase).env("OH_SECRET_KEY", SECRET_KEY)),
            &mut || open_slot(&passphrase.join("keys/secret-key.age")),
        ],
    )?;
    report.figure(
        "/bin/true, ms",
        &nothing.spread().scaled(1e3),
        "",
        Bar::None,
    );
    report.figure(
        "identity file, ms",
        &by_identity.spread().scaled(1e3),
        "",
        Bar::None,
    );
    report.figure(
        "identity file / true",
        &by_identity.over(&nothing),
        "",
        Bar::AtMost(15.0),
    );
    report.figure(
        "one scrypt of 2^15, ms",
        &scrypt.spread().scaled(1e3),
        "",
        Bar::None,
    );
    report.figure(
        "OH_SECRET_KEY, ms",
        &by_passphrase.spread().scaled(1e3),
        "",
        Bar::None,
    );
    report.figure(
        "OH_SECRET_KEY / one scrypt",
        &by_passphrase.over(&scrypt),
        "",
        Bar::AtMost(1.5),
    );
    Ok(())
}

fn make(dir: &Path, unlock: &Unlock) -> Result<()> {
    let vault = Vault::open(dir, unlock, &Options::default())?.0;
    records::fill(&vault, SECRETS)
}

/// Seconds until a secret is there.
fn first_answer(command: &mut Command) -> Result<f64> {
    let (seconds, server) = once(|| {
        let server = Server::start(command)?;
        Client::connect(server.address, 1)?.run(&load::gets(1)?, 1)?;
        Ok(server)
    })?;
    server.stop()?;
    Ok(seconds)
}

/// Seconds that the age crate takes to open an unlock slot, nearly all of it in scrypt.
fn open_slot(path: &Path) -> Result<f64> {
    let slot = std::fs::read(path)?;
    let passphrase = age::secrecy::SecretString::from(SECRET_KEY);
    let (seconds, _) = once(|| {
        Ok(age::decrypt(
            &age::scrypt::Identity::new(passphrase),
            &slot,
        )?)
    })?;
    Ok(seconds)
}

fn sizes(report: &mut Report, program: &Path, dir: &Path) -> Result<()> {
    report.table("sizes", &format!("{SECRETS} secrets, identity file"));
    let server = Server::start(&mut strongroom(program, &dir.join("identity")))?;
    let requests = load::gets(SECRETS)?;
    Client::connect(server.address, 1)?.run(&requests, 1)?;
    let resident = server.resident_bytes()? / MEBIBYTE;
    report.single(
        "resident after the first answer, MiB",
        resident,
        "",
        Bar::AtMost(16.0),
    );
    Client::connect(server.address, 16)?.run(&requests, report.setting.count(20_000))?;
    let resident = server.resident_bytes()? / MEBIBYTE;
    report.single(
        "resident after reads on 16 connections, MiB",
        resident,
        "",
        Bar::None,
    );
    let size = std::fs::metadata(program)?.len() as f64 / MEBIBYTE;
    // 8 held for a vault with its settings; agents that run in it, with their models and tools, take the rest.
    report.single("the program's file, MiB", size, "", Bar::AtMost(12.0));
    server.stop()
}
