//! Reading a secret over HTTP, against a hyper service that answers the same bytes without looking.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use strongroom_benches::Result;
use strongroom_benches::hostile::{self, Crowd};
use strongroom_benches::lane::Lane;
use strongroom_benches::load::{self, Client};
use strongroom_benches::process::{Server, built, raise_descriptors};
use strongroom_benches::records::{self, VALUE_BYTES};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::Spread;
use strongroom_benches::serve::{self, Role};
use strongroom_vault::limits::VALUE_CACHE_BYTES_DEFAULT;
use strongroom_vault::{Options, Unlock, Vault, WipingAllocator};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

const CONNECTIONS: usize = 16;
const SECRETS: usize = 1_000;
const FEW: usize = 10;
const MANY: usize = 10_000;
const IDLE: usize = 2_000;

fn main() -> ExitCode {
    serve::if_asked().unwrap_or_else(|| {
        run("request", |report| {
            raise_descriptors();
            let dir = TempDir::new()?;
            throughput(report, dir.path())?;
            flat(report, dir.path())?;
            health(report, dir.path())?;
            idle(report, dir.path())
        })
    })
}

/// Makes a vault for each of `servers` servers.
fn vaults(
    dir: &Path,
    title: &str,
    secrets: usize,
    servers: usize,
) -> Result<Vec<std::path::PathBuf>> {
    (0..servers)
        .map(|number| {
            let at = dir.join(format!("{title}{number}"));
            let vault = Vault::open(&at, &Unlock::default(), &Options::default())?.0;
            records::fill(&vault, secrets)?;
            Ok(at)
        })
        .collect()
}

fn throughput(report: &mut Report, dir: &Path) -> Result<()> {
    let wiping = std::env::current_exe()?;
    let plain = built("strongroom-benches", "request-plain")?;
    let [a, b, c, d] = vaults(dir, "throughput", SECRETS, 4)?
        .try_into()
        .map_err(|_| "four vaults")?;
    let lane = |program: &Path, role: Role| {
        Lane::new(
            &mut role.command(program),
            CONNECTIONS,
            load::gets(SECRETS)?,
        )
    };
    let mut hello = lane(&wiping, Role::Hello(VALUE_BYTES))?;
    let mut opened = lane(&wiping, Role::Secrets(a, 0))?;
    let mut cached = lane(&wiping, Role::Secrets(b, VALUE_CACHE_BYTES_DEFAULT))?;
    let mut plain_hello = lane(&plain, Role::Hello(VALUE_BYTES))?;
    let mut plain_opened = lane(&plain, Role::Secrets(c, 0))?;
    let mut plain_cached = lane(&plain, Role::Secrets(d, VALUE_CACHE_BYTES_DEFAULT))?;
    // Many short rounds: 16 requests that wait while the server's processor is lent to someone else are not
    // enough to move the p99 of a round.
    let (rounds, count) = (report.setting.rounds() * 4, 2_500);
    Lane::race(
        &mut [
            &mut hello,
            &mut opened,
            &mut cached,
            &mut plain_hello,
            &mut plain_opened,
            &mut plain_cached,
        ],
        rounds,
        count,
    )?;
    report.table(
        "GET of a secret / hello-world",
        &format!(
            "{VALUE_BYTES}-byte values, {SECRETS} secrets in turn, {CONNECTIONS} connections, {rounds} rounds of \
             {count} requests, one server thread, session key, wiping allocator and adapter in both"
        ),
    );
    let floor = &hello.processor;
    let per_second = Spread::of([1.0 / floor.spread().median()]);
    report.single(
        "hello-world, requests per processor second",
        per_second.median(),
        "",
        Bar::None,
    );
    report.figure(
        "requests per processor second, opened",
        &floor.over(&opened.processor),
        "",
        Bar::AtLeast(0.25),
    );
    report.figure(
        "requests per processor second, cached",
        &floor.over(&cached.processor),
        "",
        Bar::AtLeast(0.6),
    );
    report.figure("p50, opened", &opened.p50.over(&hello.p50), "", Bar::None);
    report.figure("p50, cached", &cached.p50.over(&hello.p50), "", Bar::None);
    report.figure("p99, opened", &opened.p99.over(&hello.p99), "", Bar::None);
    report.figure(
        "p99, cached",
        &cached.p99.over(&hello.p99),
        "",
        Bar::AtMost(2.0),
    );
    report.note(
        "The server keeps its cache on. Opened each time, a request waits for 15 others that take longer, so its \
         latencies follow from its throughput.",
    );
    report.table(
        "wiping allocator / the system's, requests per processor second",
        "the same rounds",
    );
    for (title, plain, wiping) in [
        ("opened", &plain_opened, &opened),
        ("cached", &plain_cached, &cached),
        ("hello-world", &plain_hello, &hello),
    ] {
        report.figure(
            title,
            &plain.processor.over(&wiping.processor),
            "",
            Bar::AtLeast(0.75),
        );
    }
    Ok(())
}

fn flat(report: &mut Report, dir: &Path) -> Result<()> {
    let program = std::env::current_exe()?;
    let count = report.setting.count(10_000);
    report.table(
        &format!("p50 with {MANY} secrets / with {FEW}"),
        &format!("{CONNECTIONS} connections, {count} requests a round, all secrets in turn"),
    );
    for (title, cache) in [("opened", 0), ("cached", VALUE_CACHE_BYTES_DEFAULT)] {
        let lane = |secrets: usize| {
            let at = vaults(dir, &format!("{title}{secrets}-"), secrets, 1)?;
            let at = at.into_iter().next().ok_or("a vault")?;
            let mut command = Role::Secrets(at, cache).command(&program);
            Lane::new(&mut command, CONNECTIONS, load::gets(secrets)?)
        };
        let (mut few, mut many) = (lane(FEW)?, lane(MANY)?);
        Lane::race(&mut [&mut few, &mut many], report.setting.rounds(), count)?;
        report.figure(title, &many.p50.over(&few.p50), "", Bar::AtMost(1.5));
        let processor = many.processor.over(&few.processor);
        report.figure(
            &format!("  {title}, processor time"),
            &processor,
            "",
            Bar::None,
        );
    }
    Ok(())
}

fn health(report: &mut Report, dir: &Path) -> Result<()> {
    let at = vaults(dir, "health", SECRETS, 1)?;
    let at = at.into_iter().next().ok_or("a vault")?;
    let role = Role::Secrets(at, VALUE_CACHE_BYTES_DEFAULT);
    let server = Server::start(&mut role.command(&std::env::current_exe()?))?;
    let count = report.setting.count(500);
    report.table(
        "/health, ms",
        &format!("p99 of {count} a round, each on a new connection, one after the other"),
    );
    let rounds = report.setting.rounds().min(7);
    let measure = |report: &mut Report, title: &str| -> Result<()> {
        let (mut p99, mut slowest) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let latencies = ask_health(&server, count)?.scaled(1e3);
            p99.push(latencies.at(0.99));
            slowest.push(latencies.max());
        }
        report.figure(title, &Spread::of(p99), "", Bar::AtMost(50.0));
        report.figure("  the slowest", &Spread::of(slowest), "", Bar::None);
        Ok(())
    };
    measure(report, "nothing else going on")?;
    while_busy(&server, &load::gets(SECRETS)?, || {
        measure(
            report,
            &format!("{CONNECTIONS} connections reading secrets"),
        )
    })?;
    let body = format!(
        r#"{{"name":"WRITTEN","value":"{}"}}"#,
        "x".repeat(VALUE_BYTES)
    );
    while_busy(
        &server,
        &[load::put("/api/settings/secrets", &body)],
        || {
            measure(
                report,
                &format!("{CONNECTIONS} connections writing secrets"),
            )
        },
    )?;
    let crowd = Crowd::on(server.address)?;
    let clients = hostile::EACH * hostile::KINDS;
    measure(
        report,
        &format!("{clients} slow, silent and oversized clients"),
    )?;
    let again = crowd.leave();
    report.note(&format!(
        "clients that were thrown out and came back: {again}"
    ));
    Ok(())
}

fn ask_health(server: &Server, count: usize) -> Result<Spread> {
    let request = [load::get("/health")];
    let mut latencies = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        Client::connect(server.address, 1)?.run(&request, 1)?;
        latencies.push(started.elapsed().as_secs_f64());
    }
    Ok(Spread::of(latencies))
}

/// Does something while other connections keep the server busy.
fn while_busy(
    server: &Server,
    requests: &[Vec<u8>],
    during: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut client = Client::connect(server.address, CONNECTIONS)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                client.run(requests, 100)?;
            }
            Ok(())
        });
        let done = during();
        stop.store(true, Ordering::Relaxed);
        busy.join().map_err(|_| "the load panicked")??;
        done
    })
}

fn idle(report: &mut Report, dir: &Path) -> Result<()> {
    let at = vaults(dir, "idle", SECRETS, 1)?;
    let at = at.into_iter().next().ok_or("a vault")?;
    let role = Role::Secrets(at, VALUE_CACHE_BYTES_DEFAULT);
    let server = Server::start(&mut role.command(&std::env::current_exe()?))?;
    report.table(
        "memory of an idle connection, bytes",
        &format!(
            "resident set over {IDLE} connections, {SECRETS} secrets; work of the same kind was done before"
        ),
    );
    let body = format!(r#"{{"name":"LONG","value":"{}"}}"#, "x".repeat(30_000));
    let long = load::put("/api/settings/secrets", &body);
    {
        // What the vault and the pool take for such work, they take once.
        let mut others = Client::connect(server.address, CONNECTIONS)?;
        others.run(&load::gets(SECRETS)?, SECRETS)?;
        others.run(std::slice::from_ref(&long), IDLE)?;
    }
    let before = server.resident_bytes()?;
    let mut all = Client::connect(server.address, IDLE)?;
    // Connections are accepted in order, so once this one is served all others are as well.
    Client::connect(server.address, 1)?.run(&[load::get("/health")], 1)?;
    let each = |now: f64| (now - before) / IDLE as f64;
    let bar = Bar::AtMost(16.0 * 1024.0);
    report.single("connected", each(server.resident_bytes()?), "", bar);
    all.run(&load::gets(SECRETS)?, IDLE)?;
    report.single(
        "after a GET on each",
        each(server.resident_bytes()?),
        "",
        bar,
    );
    all.on_each(&long, CONNECTIONS)?;
    report.single(
        "after a PUT of 30 kB on each",
        each(server.resident_bytes()?),
        "",
        bar,
    );
    drop(all);
    Ok(())
}
