//! Writing, reading, listing and opening a vault on disk, against redb by itself and against the disk.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use strongroom_benches::floor::{Bare, Raw};
use strongroom_benches::records::{self, Rows, VALUE_BYTES};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{interleave, mean, mean_on_cpu, median, once};
use strongroom_benches::setting::file_system;
use strongroom_benches::{Failure, Result};
use strongroom_vault::store::redb::RedbStore;
use strongroom_vault::store::{Snapshot, Store as _};
use strongroom_vault::{Options, Put, Unlock, Vault, WipingAllocator};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

/// Records that are there before one is written.
const BEFORE: usize = 1_000;
const FEW: usize = 1_000;
const MANY: usize = 100_000;

fn main() -> ExitCode {
    run("store", |report| {
        let dir = TempDir::new()?;
        one_writer(report, dir.path())?;
        writers(report, dir.path())?;
        sizes(report, dir.path())
    })
}

fn options() -> Options {
    Options {
        value_cache_bytes: 0,
        ..Options::default()
    }
}

fn filled(dir: &Path, count: usize) -> Result<Vault> {
    let vault = Vault::open(dir, &Unlock::default(), &options())?.0;
    records::fill(&vault, count)?;
    Ok(vault)
}

fn one_writer(report: &mut Report, dir: &Path) -> Result<()> {
    let at = dir.join("one");
    drop(filled(&at, BEFORE)?);
    let rows = Rows::of(&at)?;
    let vault = Vault::open(&at, &Unlock::default(), &options())?.0;
    let (secrets, count) = (records::namespace()?, report.setting.count(60));
    let kept = options().history as u64;
    let mut bare = Bare::new(&dir.join("bare.redb"), rows, BEFORE as u64, kept)?;
    let mut raw = Raw::new(&dir.join("raw"))?;
    report.table(
        "one writer, one durable put",
        &format!(
            "median of {count} a round, values of {VALUE_BYTES} bytes, {BEFORE} records before, on {}; rows of \
             {} (index), {} (metadata), {} (value) and {} (manifest) bytes with their keys",
            file_system(dir),
            rows.index.bytes(),
            rows.metadata.bytes(),
            rows.value.bytes(),
            rows.manifest.bytes()
        ),
    );
    let mut next = BEFORE;
    let mut ours = || {
        median(count, || {
            next += 1;
            vault.put(&secrets, &records::name(next)?, Put::of(records::value()))?;
            Ok(())
        })
    };
    let mut page = || median(count, || raw.write());
    let [ours, floor, page] = interleave(
        report.setting.rounds(),
        [
            &mut ours,
            &mut || median(count, || bare.create()),
            &mut page,
        ],
    )?;
    report.figure(
        "4 KiB pwrite and fdatasync, us",
        &page.spread().scaled(1e6),
        "",
        Bar::None,
    );
    report.figure(
        "new record / bare redb commit",
        &ours.over(&floor),
        "",
        Bar::AtMost(1.3),
    );
    report.figure(
        "new record / pwrite and fdatasync",
        &ours.over(&page),
        "",
        Bar::AtMost(3.0),
    );
    report.figure(
        "bare redb commit / pwrite and fdatasync",
        &floor.over(&page),
        "",
        Bar::None,
    );

    // The same few records, so that each write drops the oldest version.
    let (few, mut turn) = (20, 0);
    let mut replace = || {
        turn += 1;
        vault.put(
            &secrets,
            &records::name(turn % few)?,
            Put::of(records::value()),
        )?;
        Ok(())
    };
    for _ in 0..few * (options().history + 1) {
        replace()?;
    }
    let mut ours = || median(count, &mut replace);
    let mut page = || median(count, || raw.write());
    let [ours, floor, page] = interleave(
        report.setting.rounds(),
        [
            &mut ours,
            &mut || median(count, || bare.replace()),
            &mut page,
        ],
    )?;
    report.figure(
        "next version / bare redb commit",
        &ours.over(&floor),
        "",
        Bar::AtMost(1.3),
    );
    report.figure(
        "next version / pwrite and fdatasync",
        &ours.over(&page),
        "",
        Bar::AtMost(3.0),
    );
    Ok(())
}

fn writers(report: &mut Report, dir: &Path) -> Result<()> {
    let vault = filled(&dir.join("writers"), BEFORE)?;
    let mut raw = Raw::new(&dir.join("raw"))?;
    let each = report.setting.count(50);
    report.table(
        "writers at once: puts per second / fdatasyncs per second",
        &format!(
            "{each} puts per writer and round, at least 100; threads; {}",
            file_system(dir)
        ),
    );
    let next = AtomicUsize::new(BEFORE);
    let rate = |threads: usize| put_at_once(&vault, threads, each.max(100 / threads), &next);
    let [page, one, four, sixteen, many] = interleave(
        report.setting.rounds(),
        [
            &mut || mean(100, || raw.write()),
            &mut || rate(1),
            &mut || rate(4),
            &mut || rate(16),
            &mut || rate(64),
        ],
    )?;
    report.figure("1 writer", &page.over(&one), "", Bar::None);
    report.figure("4 writers", &page.over(&four), "", Bar::None);
    report.figure("16 writers", &page.over(&sixteen), "", Bar::AtLeast(2.0));
    report.figure("64 writers", &page.over(&many), "", Bar::AtLeast(4.0));
    Ok(())
}

/// Seconds per put.
fn put_at_once(vault: &Vault, threads: usize, each: usize, next: &AtomicUsize) -> Result<f64> {
    let secrets = records::namespace()?;
    let ready = Barrier::new(threads + 1);
    let started = std::thread::scope(|scope| -> Result<Instant> {
        let writers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    ready.wait();
                    for _ in 0..each {
                        let name = records::name(next.fetch_add(1, Ordering::Relaxed))?;
                        vault.put(&secrets, &name, Put::of(records::value()))?;
                    }
                    Ok(())
                })
            })
            .collect();
        ready.wait();
        let started = Instant::now();
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(started)
    })?;
    Ok(started.elapsed().as_secs_f64() / (threads * each) as f64)
}

fn sizes(report: &mut Report, dir: &Path) -> Result<()> {
    let (few_at, many_at) = (dir.join("few"), dir.join("many"));
    let few = filled(&few_at, FEW)?;
    let many = filled(&many_at, MANY)?;
    let count = report.setting.count(20_000);
    report.table(
        &format!("reading: {MANY} records / {FEW} records"),
        &format!("{count} random reads a round, processor time, value cache off, held snapshot"),
    );
    let read = |vault: &Vault, of: usize| {
        let secrets = records::namespace()?;
        let mut dice = Dice(1);
        mean_on_cpu(count, || {
            let name = records::name(dice.below(of))?;
            black_box(vault.value(&secrets, &name)?.ok_or("a record is missing")?);
            Ok(())
        })
    };
    let list = |vault: &Vault, of: usize| {
        let seconds = mean_on_cpu(1, || {
            if list_all(vault)? != of {
                return Err(Failure::from("the list is not whole"));
            }
            Ok(())
        })?;
        Ok(seconds / of as f64)
    };
    let [read_few, read_many, list_few, list_many] = interleave(
        report.setting.rounds(),
        [
            &mut || read(&few, FEW),
            &mut || read(&many, MANY),
            &mut || list(&few, FEW),
            &mut || list(&many, MANY),
        ],
    )?;
    report.figure(
        "read and open a value",
        &read_many.over(&read_few),
        "",
        Bar::AtMost(8.0),
    );
    report.figure(
        "  of many, us",
        &read_many.spread().scaled(1e6),
        "",
        Bar::None,
    );
    report.figure(
        "list, per record",
        &list_many.over(&list_few),
        "",
        Bar::None,
    );
    report.figure(
        "  of many, ns per record",
        &list_many.spread().scaled(1e9),
        "",
        Bar::None,
    );

    opening(report, dir, &many_at, &many)?;
    drop((few, many));
    in_the_store(report, &few_at, &many_at)
}

fn list_all(vault: &Vault) -> Result<usize> {
    let (secrets, mut after, mut seen) = (records::namespace()?, None, 0);
    loop {
        let page = vault.list(&secrets, after, 1_000)?;
        seen += black_box(page.records).len();
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(seen),
        }
    }
}

/// `open_one` is the vault in `of`, and stays open meanwhile.
fn opening(report: &mut Report, dir: &Path, of: &Path, open_one: &Vault) -> Result<()> {
    let (clean, killed) = (dir.join("clean"), dir.join("killed"));
    report.table(
        &format!("opening {MANY} records"),
        "automatic identity, files in the page cache; after a kill: a copy of the files of an open vault",
    );
    let open = |at: &Path| {
        let (seconds, vault) = once(|| Ok(Vault::open(at, &Unlock::default(), &options())?.0))?;
        if vault.records() != open_one.records() {
            return Err(Failure::from("records are missing after opening"));
        }
        Ok(seconds)
    };
    copy(of, &clean)?;
    open(&clean)?;
    let [clean, killed] = interleave(
        report.setting.rounds().min(7),
        [&mut || open(&clean), &mut || {
            copy(of, &killed)?;
            open(&killed)
        }],
    )?;
    report.figure(
        "clean, ms",
        &clean.spread().scaled(1e3),
        "",
        Bar::AtMost(50.0),
    );
    let more = killed.beyond(&clean, MANY as f64).scaled(1e6);
    report.figure(
        "after a kill, us per record more",
        &more,
        "",
        Bar::AtMost(3.0),
    );
    Ok(())
}

/// The store by itself, without the vault's opening of values.
fn in_the_store(report: &mut Report, few_at: &Path, many_at: &Path) -> Result<()> {
    let count = report.setting.count(20_000);
    report.table(
        "the store alone",
        &format!("{count} random reads of value rows a round, processor time, held snapshot"),
    );
    let (few, many) = (Values::of(few_at)?, Values::of(many_at)?);
    let [of_few, of_many] = interleave(
        report.setting.rounds(),
        [&mut || few.read(count), &mut || many.read(count)],
    )?;
    let title = format!("point read, {MANY} records / {FEW}");
    report.figure(&title, &of_many.over(&of_few), "", Bar::None);
    report.figure(
        "  of many, ns",
        &of_many.spread().scaled(1e9),
        "",
        Bar::None,
    );
    drop((few, many));
    for (at, records) in [(few_at, FEW), (many_at, MANY)] {
        let bytes = std::fs::metadata(at.join("vault.redb"))?.len() as f64 / records as f64;
        let rows = Rows::of(at)?.of_a_record() as f64;
        let title = format!("file of {records} records, bytes per record");
        report.single(&title, bytes, "", Bar::None);
        report.single("  / bytes of its rows", bytes / rows, "", Bar::None);
    }
    Ok(())
}

/// The value rows of a store.
struct Values {
    keys: Vec<Vec<u8>>,
    snapshot: std::sync::Arc<dyn Snapshot>,
}

impl Values {
    fn of(dir: &Path) -> Result<Self> {
        let snapshot = RedbStore::open(&dir.join("vault.redb"))?.snapshot()?;
        let mut keys = Vec::new();
        snapshot.range(b"v", b"w", &mut |key, _| {
            keys.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(Self { keys, snapshot })
    }

    fn read(&self, count: usize) -> Result<f64> {
        let mut dice = Dice(1);
        mean_on_cpu(count, || {
            let key = self.keys.get(dice.below(self.keys.len()));
            let mut seen = 0;
            let key = key.ok_or("the store is empty")?;
            self.snapshot.view(key, &mut |value| seen += value.len())?;
            black_box(seen);
            Ok(())
        })
    }
}

/// Marsaglia's xorshift: picks records, guards nothing.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
