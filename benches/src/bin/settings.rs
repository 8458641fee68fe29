//! The settings over HTTP: reading them against a hyper service that answers as many bytes without looking,
//! patching them against a durable put of as many bytes: both over one connection, and both in process.

use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;

use strongroom_agent::fernet::Keys;
use strongroom_agent::json::Json;
use strongroom_agent::settings::Store;
use strongroom_benches::Result;
use strongroom_benches::lane::Lane;
use strongroom_benches::load::{self, Client};
use strongroom_benches::process::Server;
use strongroom_benches::records;
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{Arm, Measure, interleave, median};
use strongroom_benches::serve::{self, Role};
use strongroom_benches::setting::file_system;
use strongroom_vault::limits::VALUE_CACHE_BYTES_DEFAULT;
use strongroom_vault::{Options, Plaintext, Put, Unlock, Vault, WipingAllocator};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

const CONNECTIONS: usize = 16;
const SECRETS: usize = 1_000;

fn main() -> ExitCode {
    serve::if_asked().unwrap_or_else(|| {
        run("settings", |report| {
            let dir = TempDir::new()?;
            let data = dir.path().join("served");
            records::fill(&open(&data)?, SECRETS)?;
            let bytes = stored(&data)?;
            read(report, &data, bytes)?;
            write(report, &data, &dir.path().join("put"), bytes)
        })
    })
}

fn open(dir: &Path) -> Result<Vault> {
    Ok(Vault::open(dir, &Unlock::default(), &Options::default())?.0)
}

fn role(data: &Path) -> Role {
    Role::Secrets(data.to_owned(), VALUE_CACHE_BYTES_DEFAULT)
}

/// Stores a settings document; the bytes of the answer that gives it.
fn stored(data: &Path) -> Result<usize> {
    let server = Server::start(&mut role(data).command(&std::env::current_exe()?))?;
    let mut connection = TcpStream::connect(server.address)?;
    let [patch, _] = load::patches();
    load::exchange(&mut connection, &patch)?;
    Ok(load::exchange(&mut connection, &load::get("/api/settings"))?.len())
}

fn read(report: &mut Report, data: &Path, bytes: usize) -> Result<()> {
    let program = std::env::current_exe()?;
    let lane = |role: Role| {
        let requests = vec![load::get("/api/settings")];
        Lane::new(&mut role.command(&program), CONNECTIONS, requests)
    };
    let (mut hello, mut ours) = (lane(Role::Hello(bytes))?, lane(role(data))?);
    let count = report.setting.count(10_000);
    Lane::race(&mut [&mut hello, &mut ours], report.setting.rounds(), count)?;
    report.table(
        "GET of the settings / hello-world",
        &format!(
            "{bytes} bytes in both, {CONNECTIONS} connections, {count} requests a round, one server thread, session \
             key, wiping allocator and adapter in both"
        ),
    );
    let floor = &hello.processor;
    let per_second = 1.0 / floor.spread().median();
    report.single(
        "hello-world, requests per processor second",
        per_second,
        "",
        Bar::None,
    );
    let ratio = floor.over(&ours.processor);
    report.figure(
        "requests per processor second",
        &ratio,
        "",
        Bar::AtLeast(0.25),
    );
    report.figure("p50", &ours.p50.over(&hello.p50), "", Bar::None);
    report.figure("p99", &ours.p99.over(&hello.p99), "", Bar::None);
    Ok(())
}

fn write(report: &mut Report, data: &Path, other: &Path, bytes: usize) -> Result<()> {
    let server = Server::start(&mut role(data).command(&std::env::current_exe()?))?;
    let mut client = Client::connect(server.address, 1)?;
    let vault = open(other)?;
    records::fill(&vault, SECRETS)?;
    let (secrets, name, value) = (records::namespace()?, records::name(0)?, vec![b'x'; bytes]);
    let count = report.setting.count(60);
    let patches = load::patches();
    let body = format!(
        r#"{{"name":"{}","value":"{}"}}"#,
        name.as_str(),
        "x".repeat(bytes)
    );
    let puts = [load::put("/api/settings/secrets", &body)];
    let mut patch = || Ok(client.run(&patches, count)?.latencies.median());
    let mut other_client = Client::connect(server.address, 1)?;
    let mut put = || Ok(other_client.run(&puts, count)?.latencies.median());
    let mut bare = || {
        median(count, || {
            vault.put(&secrets, &name, Put::of(Plaintext::copy_of(&value)))?;
            Ok(())
        })
    };
    let store = Store::new(vault.clone(), Keys::none(), String::new())?;
    let mut most = 0;
    let mut change = || {
        median(count, || {
            most = 203 - most.max(101);
            let body = format!(r#"{{"conversation_settings_diff":{{"max_iterations":{most}}}}}"#);
            let body = Json::parse(body.as_bytes())?;
            store.change(move |desk| Ok(desk.patch(Some(&body))?.to_bytes()))?;
            Ok(())
        })
    };
    let arms: [Measure<'_>; 4] = [&mut patch, &mut put, &mut change, &mut bare];
    let [patch, put, change, bare] = interleave(report.setting.rounds(), arms)?;
    report.table(
        "PATCH of the settings / a durable put of as many bytes",
        &format!(
            "median of {count} a round, {bytes} bytes, {SECRETS} secrets in both; all but the put in process leave an \
             entry in the audit trail; on {}",
            file_system(data)
        ),
    );
    let micros = |arm: &Arm| arm.spread().scaled(1e6);
    report.figure(
        "PUT of a secret over HTTP, us",
        &micros(&put),
        "",
        Bar::None,
    );
    report.figure("PATCH / PUT", &patch.over(&put), "", Bar::AtMost(1.5));
    report.figure("put in process, us", &micros(&bare), "", Bar::None);
    report.figure("patch / put", &change.over(&bare), "", Bar::AtMost(1.5));
    report.figure(
        "PATCH over HTTP / put in process",
        &patch.over(&bare),
        "",
        Bar::None,
    );
    Ok(())
}
