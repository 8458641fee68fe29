//! Where a secret must not be: in the data directory in plain, and in the server's memory once it was handled.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use crate::program::{KEY, Setup};
use crate::wire::{SECRETS, Wire};

/// Length of the pieces that are looked for.
const PIECE: usize = 16;

/// A text that is nowhere else: 40 random letters and digits behind a letter.
pub(crate) fn canary(number: u64) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut text = "c".to_owned();
    for word in 0..4 {
        let random = RandomState::new().hash_one((number, word));
        let letters = (0..10).map(|at| ALPHABET[(random >> (at * 5) & 31) as usize]);
        text.extend(letters.map(char::from));
    }
    text
}

/// Finds whole canaries and pieces of 16 bytes of them, at any offset, in one pass.
pub(crate) struct Finder<'a> {
    canaries: &'a [String],
    /// The first 8 bytes of each piece, with where it is from.
    starts: HashMap<[u8; 8], (usize, usize)>,
    /// Rules most places out: one bit for each hash of 8 bytes.
    bits: Vec<u8>,
}

/// What was found: (whole, pieces).
pub(crate) type Found = (usize, usize);

impl<'a> Finder<'a> {
    pub(crate) fn new(canaries: &'a [String]) -> Self {
        let mut finder = Self {
            canaries,
            starts: HashMap::new(),
            bits: vec![0; 1 << 16],
        };
        for (number, canary) in canaries.iter().enumerate() {
            for at in 0..=canary.len() - PIECE {
                let start = *canary.as_bytes()[at..].first_chunk().unwrap();
                finder.starts.insert(start, (number, at));
                finder.bits[Self::slot(start)] = 1;
            }
        }
        finder
    }

    fn slot(start: [u8; 8]) -> usize {
        (u64::from_le_bytes(start).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize
    }

    /// Counts whole canaries, and pieces that do not overlap each other or a whole one.
    pub(crate) fn count(&self, bytes: &[u8]) -> Found {
        let (mut whole, mut pieces, mut at) = (0, 0, 0);
        while let Some(start) = bytes[at..].first_chunk::<8>() {
            at += 1;
            if self.bits[Self::slot(*start)] == 0 {
                continue;
            }
            let Some(&(number, offset)) = self.starts.get(start) else {
                continue;
            };
            let (here, canary) = (&bytes[at - 1..], self.canaries[number].as_bytes());
            if offset == 0 && here.starts_with(canary) {
                whole += 1;
                at += canary.len() - 1;
            } else if here.starts_with(&canary[offset..offset + PIECE]) {
                pieces += 1;
                at += PIECE - 1;
            }
        }
        (whole, pieces)
    }
}

#[test]
fn the_finder_finds_what_it_should() {
    let canaries = [canary(1), canary(2)];
    let finder = Finder::new(&canaries);
    let text = format!(
        "..{}..{}..{}",
        canaries[0],
        &canaries[1][3..19],
        &canaries[1][5..20]
    );
    assert_eq!(finder.count(text.as_bytes()), (1, 1));
    assert_eq!(finder.count(b"nothing to be found here"), (0, 0));
}

/// Every file below `dir`, one after the other, its path included.
pub(crate) fn on_disk(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        all.extend_from_slice(path.as_os_str().as_encoded_bytes());
        all.extend(if path.is_dir() {
            on_disk(&path)
        } else if path.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new() // the socket for commands
        });
    }
    all
}

#[test]
fn the_data_directory_shows_no_name_no_description_and_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let secret = canary(0);
    let start = || {
        Setup::keyed(dir.path())
            .env("OH_SECRET_KEY", &secret)
            .start()
    };
    let server = start();
    let mut wire = Wire::to(server.address);
    let canaries: Vec<String> = (1..=60).map(canary).collect();
    for three in canaries.chunks(3) {
        let [name, value, description] = three else {
            continue;
        };
        assert_eq!(
            wire.try_put(name, value, Some(description)).unwrap().status,
            200
        );
    }
    // Replaced and deleted ones leave previous versions and old pages behind.
    assert_eq!(
        wire.try_put(&canaries[0], &canaries[4], Some(&canaries[5]))
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        wire.call("DELETE", &format!("{SECRETS}/{}", canaries[3]), None)
            .status,
        200
    );
    let known: Vec<String> = canaries
        .into_iter()
        .chain([secret.clone(), KEY.to_owned() + "/" + KEY])
        .collect();
    let finder = Finder::new(&known);
    assert_eq!(finder.count(&on_disk(dir.path())), (0, 0), "while it runs");
    server.program.kill();
    assert_eq!(finder.count(&on_disk(dir.path())), (0, 0), "after kill -9");
    start().stop();
    assert_eq!(
        finder.count(&on_disk(dir.path())),
        (0, 0),
        "after the repair"
    );
    // The finder would see it.
    fs::write(dir.path().join("note"), &known[1]).unwrap();
    assert_eq!(finder.count(&on_disk(dir.path())), (1, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn keys_that_came_in_the_environment_are_not_left_there() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<String> = (0..4).map(canary).collect();
    let names = [
        "SESSION_API_KEY",
        "OH_SESSION_API_KEYS_0",
        "OH_SECRET_KEY",
        "OH_PREVIOUS_SECRET_KEYS_1",
    ];
    let pairs = names.iter().zip(&keys);
    let server = pairs
        .fold(Setup::serve(dir.path()), |setup, (name, key)| {
            setup.env(name, key)
        })
        .start();
    match fs::read(format!("/proc/{}/environ", server.program.pid())) {
        Ok(block) => {
            assert!(
                block.starts_with(b"OH_") || block.starts_with(b"SESSION_"),
                "it is there"
            );
            assert_eq!(Finder::new(&keys).count(&block), (0, 0));
        }
        Err(refused) => eprintln!("not looked at: {refused}"),
    }
    server.stop();
}

/// How many sealed values lie in the database file, whether anything refers to them or not.
fn sealed_values(dir: &Path) -> usize {
    let bytes = fs::read(dir.join("vault.redb")).unwrap();
    let stanza = b"-> strongroom ";
    bytes
        .windows(stanza.len())
        .filter(|window| window == stanza)
        .count()
}

#[test]
fn purge_leaves_no_sealed_byte_of_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    for number in 0..120 {
        wire.put(&format!("S{number}"), &canary(number));
    }
    // Three versions of each of these 20 are kept, nothing of the 100 others.
    for number in (0..20).cycle().take(40) {
        wire.put(&format!("S{number}"), &canary(number));
    }
    for number in 20..120 {
        assert_eq!(
            wire.call("DELETE", &format!("{SECRETS}/S{number}"), None)
                .status,
            200
        );
    }
    server.stop();
    let purged = Setup::verb("purge", dir.path()).run();
    assert_eq!(purged.code, Some(0), "{}", purged.said);
    assert_eq!(sealed_values(dir.path()), 60);
    let verified = Setup::verb("verify", dir.path()).run();
    assert_eq!(verified.code, Some(0), "{}", verified.said);
}

/// All that can be read of a process's memory, searched piece by piece; `None` if this is not allowed.
#[cfg(target_os = "linux")]
pub(crate) fn in_memory(pid: u32, finder: &Finder<'_>) -> Option<Found> {
    use std::os::unix::fs::FileExt as _;
    let memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let (mut found, mut seen) = ((0, 0), 0);
    for line in maps.lines() {
        let mut words = line.split(' ');
        let (range, mode) = (words.next()?, words.next()?);
        let (from, to) = range.split_once('-')?;
        let (from, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        if !mode.starts_with('r') {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        // Some mappings of the kernel's can't be read although they are listed.
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            let (whole, pieces) = finder.count(&bytes);
            found = (found.0 + whole, found.1 + pieces);
            seen += bytes.len();
        }
    }
    (seen > 0).then_some(found)
}

#[cfg(target_os = "linux")]
#[test]
fn thirty_puts_and_gets_leave_nothing_in_the_servers_memory() {
    use crate::program::PATIENCE;
    use crate::wire::request;
    use std::time::Instant;

    let dir = tempfile::tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let pid = server.program.pid();
    let canaries: Vec<String> = (0..30).map(canary).collect();
    let finder = Finder::new(&canaries);
    let mut wires: Vec<Wire> = canaries.iter().map(|_| Wire::to(server.address)).collect();
    let Some(before) = in_memory(pid, &finder) else {
        eprintln!("skipped: this process may not read /proc/{pid}/mem (that takes CAP_SYS_PTRACE)");
        server.stop();
        return;
    };
    assert_eq!(before, (0, 0), "before anything was sent");

    // A body on its way is seen: the search works.
    let (first, rest) = canaries[0].split_at(20);
    let body = format!(r#"{{"name":"S0","value":"{first}{rest}"}}"#);
    let (begin, end) = body.split_at(body.find(rest).unwrap());
    let length = body.len().to_string();
    let headers = [
        ("x-session-api-key", KEY),
        ("content-type", "application/json"),
        ("content-length", &*length),
        ("expect", "100-continue"),
    ];
    assert_eq!(
        wires[0]
            .ask(&request("PUT", SECRETS, &headers, None))
            .status,
        100
    );
    wires[0].send(begin.as_bytes()).unwrap();
    let until = Instant::now() + PATIENCE;
    while in_memory(pid, &finder) == Some((0, 0)) {
        assert!(
            Instant::now() < until,
            "a body that was sent is never seen in memory"
        );
    }
    assert_eq!(wires[0].ask(end.as_bytes()).status, 200);

    for (number, (wire, canary)) in wires.iter_mut().zip(&canaries).enumerate().skip(1) {
        wire.put(&format!("S{number}"), canary);
    }
    assert_eq!(
        settled(pid, &finder),
        (0, 0),
        "after 30 puts on connections that stay open"
    );
    // Twice, so that the second one is answered from the cache.
    for _ in 0..2 {
        for (number, (wire, canary)) in wires.iter_mut().zip(&canaries).enumerate() {
            assert_eq!(wire.value(&format!("S{number}")).as_ref(), Some(canary));
        }
        assert_eq!(
            settled(pid, &finder),
            (0, 0),
            "after 30 gets on connections that stay open"
        );
    }
    for wire in &mut wires {
        assert_eq!(wire.call("PUT", SECRETS, Some("{\"name\":")).status, 422);
    }
    drop(wires);
    server.stop();
}

/// The count once the server had time to drop what it has just answered with: the answer reaches us before the
/// server has come back from writing it.
#[cfg(target_os = "linux")]
pub(crate) fn settled(pid: u32, finder: &Finder<'_>) -> Found {
    let mut found = None;
    for _ in 0..5 {
        let now = in_memory(pid, finder);
        if now == Some((0, 0)) {
            return (0, 0);
        }
        found = now;
    }
    found.unwrap_or_default()
}

/// A handler that panics with a secret in its hands leaves nothing of it: in what is said, answered, stored, or kept
/// in memory.
#[cfg(all(target_os = "linux", debug_assertions))]
#[test]
fn a_panic_in_a_handler_shows_and_leaves_nothing() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let canaries: Vec<String> = (0..3).map(canary).collect();
    let hex = |value: &String| value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut known = canaries.clone();
    known.extend(canaries.iter().map(|value| STANDARD.encode(value)));
    known.extend(canaries.iter().map(hex));
    let finder = Finder::new(&known);
    for (place, answered) in [("put", None), ("put in the pool", Some(500)), ("get", None)] {
        let dir = tempfile::tempdir().unwrap();
        let setup = Setup::keyed(dir.path()).env("LOG_LEVEL", "DEBUG");
        let server = setup.env("STRONGROOM_TEST_PANIC", place).start();
        let pid = server.program.pid();
        for canary in &canaries {
            let mut wire = Wire::to(server.address);
            let put = wire.try_put("A", canary, None);
            if place == "get" {
                assert_eq!(put.unwrap().status, 200);
                let got = wire.try_call("GET", &format!("{SECRETS}/A"));
                assert!(got.is_err(), "it panicked");
                continue;
            }
            let put = put.ok();
            assert_eq!(
                put.as_ref().map(|answer| answer.status),
                answered,
                "{place}"
            );
            let body = put.map(|answer| answer.body).unwrap_or_default();
            assert_eq!(finder.count(&body), (0, 0), "{place}: answered");
        }
        // It goes on serving.
        assert_eq!(
            Wire::to(server.address).call("GET", "/health", None).status,
            200
        );
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert_eq!(finder.count(&bytes), (0, 0), "{place}: {file}");
        }
        if in_memory(pid, &finder).is_some() {
            assert_eq!(settled(pid, &finder), (0, 0), "{place}: memory");
        } else {
            eprintln!("skipped: this process may not read /proc/{pid}/mem");
        }
        assert_eq!(finder.count(&on_disk(dir.path())), (0, 0), "{place}: data");
        let said = server.stop().said;
        let panicked = said.matches("panicked at agent/src/failpoint.rs").count();
        assert_eq!(panicked, 3, "{place}: {said}");
        // Nor do words that were put together then.
        assert!(!said.contains("was reached"), "{place}: {said}");
        assert_eq!(finder.count(said.as_bytes()), (0, 0), "{place}: log");
    }
}
