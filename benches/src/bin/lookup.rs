//! A LookupSecret that points to this server, against a bare read of the vault.

use std::process::ExitCode;
use std::sync::Arc;

use strongroom_agent::lender::{Lender, NAMESPACE};
use strongroom_agent::lookup::{self, Lookup};
use strongroom_agent::net::Network;
use strongroom_agent::secrets::{Resolver, Secrets, Setting};
use strongroom_agent::source::{Holder, Rights, Source};
use strongroom_benches::Result;
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{interleave, mean_on_cpu};
use strongroom_vault::{Name, Namespace, Options, Plaintext, Put, Vault};

const SECRETS: usize = 100;
const VALUE_BYTES: usize = 64;
const READS: usize = 20_000;

struct Everything;

impl Rights for Everything {
    fn holder(&self, _: &[u8]) -> Option<Holder> {
        Some(Holder::Local)
    }

    fn may_read(&self, _: &Holder, _: &Name) -> bool {
        true
    }
}

fn main() -> ExitCode {
    run("lookup", bench)
}

fn bench(report: &mut Report) -> Result<()> {
    for (title, value_cache_bytes) in [("from the vault's rows", 0), ("from its cache", 4 << 20)] {
        let options = Options {
            value_cache_bytes,
            ..Options::default()
        };
        compare(report, title, &Vault::in_memory(&options)?)?;
    }
    Ok(())
}

fn compare(report: &mut Report, title: &str, vault: &Vault) -> Result<()> {
    let namespace = Namespace::new(NAMESPACE)?;
    let (mut names, mut settings) = (Vec::new(), Vec::new());
    for number in 0..SECRETS {
        let text = format!("TOKEN_{number}");
        let name = Name::new(&text)?;
        let mut value = [0; VALUE_BYTES];
        getrandom::fill(&mut value)?;
        vault.put(&namespace, &name, Put::of(Plaintext::copy_of(&value)))?;
        let source = Source::Lookup {
            url: format!("http://localhost:8000/api/settings/secrets/{text}"),
            headers: Vec::new(),
        };
        settings.push(Setting {
            name: text,
            description: None,
            source,
        });
        names.push(name);
    }
    let options = lookup::Options {
        listeners: vec!["127.0.0.1:8000".parse()?],
        ..lookup::Options::default()
    };
    let resolver = Arc::new(Resolver {
        lender: Lender::new(vault)?,
        lookup: Lookup::new(options, Network::system())?,
        rights: Box::new(Everything),
    });
    let secrets = Secrets::open(&Namespace::new("conversation/bench")?, "bench", &resolver)?;
    secrets.set(settings, &Holder::Local)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let reads = report.setting.count(READS);

    let mut turn = names.iter().cycle();
    let mut next = || turn.next().ok_or("there are names");
    let mut bare = || {
        mean_on_cpu(reads, || {
            let value = vault.value(&namespace, next()?)?.ok_or("it is there")?;
            std::hint::black_box(&value.bytes);
            Ok(())
        })
    };
    let mut turn = names.iter().cycle();
    let mut next = || turn.next().ok_or("there are names");
    let mut looked_up = || {
        mean_on_cpu(reads, || {
            let value = runtime
                .block_on(secrets.value(next()?.as_str(), "bench"))?
                .ok_or("it is there")?;
            std::hint::black_box(&value);
            Ok(())
        })
    };
    let [bare, looked_up] = interleave(report.setting.rounds(), [&mut bare, &mut looked_up])?;
    report.table(
        &format!("a lookup of our own, {title}"),
        &format!("{SECRETS} secrets of {VALUE_BYTES} bytes in memory, {reads} reads a round, processor time"),
    );
    report.figure("bare read", &bare.spread().scaled(1e6), "us", Bar::None);
    report.figure("lookup", &looked_up.spread().scaled(1e6), "us", Bar::None);
    report.figure(
        "lookup over bare read",
        &looked_up.over(&bare),
        "",
        Bar::AtMost(2.0),
    );
    Ok(())
}
