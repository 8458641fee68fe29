//! What the audit trail costs: reading a secret over HTTP with it and without it.

use std::process::ExitCode;

use strongroom_benches::Result;
use strongroom_benches::lane::Lane;
use strongroom_benches::load;
use strongroom_benches::records::{self, VALUE_BYTES};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::serve::{self, Role};
use strongroom_vault::limits::VALUE_CACHE_BYTES_DEFAULT;
use strongroom_vault::{Options, Unlock, Vault, WipingAllocator};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

const CONNECTIONS: usize = 16;
const SECRETS: usize = 1_000;

fn main() -> ExitCode {
    serve::if_asked().unwrap_or_else(|| run("audit", bench))
}

fn bench(report: &mut Report) -> Result<()> {
    let (dir, program) = (TempDir::new()?, std::env::current_exe()?);
    let vault = |title: &str| -> Result<_> {
        let at = dir.path().join(title);
        let vault = Vault::open(&at, &Unlock::default(), &Options::default())?.0;
        records::fill(&vault, SECRETS)?;
        Ok(at)
    };
    let lane = |role: Role| {
        let requests = load::gets(SECRETS)?;
        Lane::new(&mut role.command(&program), CONNECTIONS, requests)
    };
    let cache = VALUE_CACHE_BYTES_DEFAULT;
    let mut opened = lane(Role::Secrets(vault("opened")?, 0))?;
    let mut opened_off = lane(Role::Unaudited(vault("opened-off")?, 0))?;
    let mut cached = lane(Role::Secrets(vault("cached")?, cache))?;
    let mut cached_off = lane(Role::Unaudited(vault("cached-off")?, cache))?;
    // Long rounds, so that nearly all of what a round notes is also written in it.
    let (rounds, count) = (report.setting.rounds(), 20_000);
    let lanes = &mut [&mut opened, &mut opened_off, &mut cached, &mut cached_off];
    Lane::race(lanes, rounds, count)?;
    report.table(
        "GET of a secret with the audit trail / without",
        &format!(
            "{VALUE_BYTES}-byte values, {SECRETS} secrets in turn, {CONNECTIONS} connections, {rounds} rounds of \
             {count} requests, one server thread, buffered"
        ),
    );
    for (title, on, off, bar) in [
        ("opened", &opened, &opened_off, Bar::AtLeast(0.85)),
        ("cached", &cached, &cached_off, Bar::None),
    ] {
        let name = format!("requests per processor second, {title}");
        report.figure(&name, &off.processor.over(&on.processor), "", bar);
        report.figure(
            &format!("p50, {title}"),
            &on.p50.over(&off.p50),
            "",
            Bar::None,
        );
    }
    Ok(())
}
