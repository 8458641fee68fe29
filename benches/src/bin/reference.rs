//! Ours against the reference server, in the same rounds: settings and secrets over HTTP.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use strongroom_benches::Result;
use strongroom_benches::load::{self, Client};
use strongroom_benches::process::{Server, built, strongroom};
use strongroom_benches::records;
use strongroom_benches::reference::{self, SECRET_KEY};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::interleave;
use strongroom_benches::setting::file_system;
use strongroom_vault::{Options, Unlock, Vault};
use tempfile::TempDir;

const SECRETS: usize = 10_000;
const MANY: usize = 16;

fn main() -> ExitCode {
    run("reference", |report| {
        let Some(python) = reference::python() else {
            report.note("skipped: there is no Python with the reference (tests/sdk/venv makes it)");
            return Ok(());
        };
        let dir = TempDir::new()?;
        compare(report, &python, dir.path())
    })
}

fn compare(report: &mut Report, python: &Path, dir: &Path) -> Result<()> {
    let program = built("strongroom-http", "strongroom")?;
    let (data, state, home) = (dir.join("data"), dir.join("state"), dir.join("home"));
    let vault = Vault::open(&data, &Unlock::default(), &Options::default())?.0;
    records::fill(&vault, SECRETS)?;
    drop(vault);
    reference::export(&program, &data, &state)?;
    let mut command = strongroom(&program, &data);
    let ours = Server::start(command.env("OH_SECRET_KEY", SECRET_KEY))?;
    std::fs::create_dir(&home)?;
    let theirs = reference::start(python, &state, &home)?;

    let settings = [load::get("/api/settings")];
    let (secrets, patches) = (load::gets(SECRETS)?, load::patches());
    for server in [&ours, &theirs] {
        // So that there is a stored document to read.
        Client::connect(server.address, 1)?.run(&patches, 2)?;
    }
    let arm = |server: &Server, connections: usize, requests: &[Vec<u8>], count: usize| {
        let (address, requests) = (server.address, requests.to_vec());
        let count = report.setting.count(count);
        move || {
            // Not kept from round to round: the reference closes what is idle for 5 s.
            let mut client = Client::connect(address, connections)?;
            let started = Instant::now();
            client.run(&requests, count)?;
            Ok(started.elapsed().as_secs_f64() / count as f64)
        }
    };
    let [mut read, mut reads, mut write, mut writes, mut secret] = [
        (1, &settings[..], 5_000),
        (MANY, &settings[..], 10_000),
        (1, &patches[..], 300),
        (MANY, &patches[..], 2_000),
        (1, &secrets[..], 5_000),
    ]
    .map(|(connections, requests, count)| arm(&ours, connections, requests, count));
    let [mut read2, mut reads2, mut write2, mut writes2, mut secret2] = [
        (1, &settings[..], 50),
        (MANY, &settings[..], 100),
        (1, &patches[..], 50),
        (MANY, &patches[..], 100),
        (1, &secrets[..], 5),
    ]
    .map(|(connections, requests, count)| arm(&theirs, connections, requests, count));
    let figures = interleave(
        report.setting.rounds(),
        [
            &mut read,
            &mut read2,
            &mut reads,
            &mut reads2,
            &mut write,
            &mut write2,
            &mut writes,
            &mut writes2,
            &mut secret,
            &mut secret2,
        ],
    )?;
    report.table(
        "requests per second, ours / the reference",
        &format!(
            "{SECRETS} secrets and a settings document stored in both, session key, on {}; ours is on disk when it \
             answers a PATCH, the reference does not wait for the disk",
            file_system(dir)
        ),
    );
    let titles = [
        ("GET settings, 1 connection", 45.0),
        ("GET settings, 16 connections", 70.0),
        ("PATCH settings, 1 connection", 5.0),
        ("PATCH settings, 16 connections", 40.0),
        ("GET of a secret, 1 connection", 500.0),
    ];
    for ((title, bar), pair) in titles.into_iter().zip(figures.chunks_exact(2)) {
        let [ours, theirs] = pair else { continue };
        report.figure(title, &theirs.over(ours), "", Bar::AtLeast(bar));
        let rate = |seconds: f64| format!("{:.0}", 1.0 / seconds);
        report.note(&format!(
            "  medians: {} and {} per second",
            rate(ours.spread().median()),
            rate(theirs.spread().median())
        ));
    }
    Ok(())
}
