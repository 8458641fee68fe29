//! `kill -9`: in the middle of many writers nothing that was acknowledged is lost, and at any moment of a
//! first start the next one works.
//!
//! A few rounds in an ordinary run; `STRONGROOM_KILL_ROUNDS=50` for the long one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{PATIENCE, Server, Setup};
use crate::wire::{SECRETS, Wire};

const WRITERS: u64 = 16;
/// Names of each writer; fewer than the writes of a round, so that most of them replace.
const NAMES: u64 = 8;

fn rounds() -> u64 {
    let given = std::env::var("STRONGROOM_KILL_ROUNDS").ok();
    given.map_or(4, |text| {
        text.parse().expect("STRONGROOM_KILL_ROUNDS is a number")
    })
}

/// What one writer knows: of each name the last value that was acknowledged, `None` for a deletion, and the one
/// write that was on its way when the server died.
#[derive(Default)]
struct Known {
    acknowledged: HashMap<String, Option<String>>,
    on_its_way: Option<(String, Option<String>)>,
}

/// Writes until the server is gone; every seventh write is a deletion.
fn write(server: &Server, writer: u64, first: u64, acknowledged: &AtomicU64) -> Known {
    let mut known = Known::default();
    let Ok(mut wire) = Wire::try_to(server.address) else {
        return known;
    };
    for count in first.. {
        let name = format!("W{writer}_{}", count % NAMES);
        let value = (count % 7 != 6)
            .then(|| format!("{writer}/{count}/{}", "x".repeat((count % 900) as usize)));
        known.on_its_way = Some((name.clone(), value.clone()));
        let answer = match &value {
            Some(value) => wire.try_put(&name, value, Some("written in a hurry")),
            None => wire.try_call("DELETE", &format!("{SECRETS}/{name}")),
        };
        let Ok(answer) = answer else {
            return known;
        };
        let absent = value.is_none() && answer.status == 404;
        assert!(
            answer.status == 200 || absent,
            "{} {}",
            answer.status,
            answer.text()
        );
        known.on_its_way = None;
        known.acknowledged.insert(name, value);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    known
}

#[test]
fn kill_9_in_the_middle_of_16_writers_loses_no_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Setup::keyed(dir.path()).start();
    let mut state: HashMap<String, Option<String>> = HashMap::new();
    for round in 0..rounds() {
        let server = start();
        let acknowledged = AtomicU64::new(0);
        // Each round dies at another depth of writing.
        let enough = 20 + (round * 67) % 400;
        let known: Vec<Known> = thread::scope(|scope| {
            let (server, acknowledged) = (&server, &acknowledged);
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    scope.spawn(move || write(server, writer, round * 100_000, acknowledged))
                })
                .collect();
            let until = Instant::now() + PATIENCE;
            while acknowledged.load(Ordering::Relaxed) < enough {
                assert!(Instant::now() < until, "the writers do not get on");
                thread::yield_now();
            }
            server.program.kill_now();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect()
        });
        server.program.kill();

        let server = start();
        let mut wire = Wire::to(server.address);
        let mut uncertain = HashMap::new();
        for one in known {
            state.extend(one.acknowledged);
            uncertain.extend(one.on_its_way);
        }
        for (name, value) in &mut state {
            let found = wire.value(name);
            if found != *value {
                let late = uncertain.get(name);
                assert_eq!(
                    late,
                    Some(&found),
                    "round {round}: {name} was acknowledged with {value:?}"
                );
                *value = found;
            }
        }
        // What was never acknowledged may be there or not, but only as it was sent.
        for (name, late) in uncertain {
            let found = wire.value(&name);
            assert!(
                found.is_none() || found == late || state.get(&name) == Some(&found),
                "round {round}: {name}"
            );
            state.insert(name, found);
        }
        let mut listed = wire.names();
        let mut expected: Vec<_> = state
            .iter()
            .filter(|(_, value)| value.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "round {round}");
        server.stop();
        verify(dir.path(), round);
    }
}

fn verify(dir: &Path, round: u64) {
    let verified = Setup::verb("verify", dir).run();
    assert_eq!(verified.code, Some(0), "round {round}: {}", verified.said);
}

#[test]
fn a_first_start_that_is_killed_at_any_moment_leaves_a_directory_that_starts() {
    let serve = |dir: &Path, secret: &str| Setup::keyed(dir).env("OH_SECRET_KEY", secret);
    // A blank key is none, so that the automatic identity is made; a key costs a scrypt on the way.
    for secret in ["", "a key"] {
        let whole = {
            let dir = tempfile::tempdir().unwrap();
            let begun = Instant::now();
            serve(dir.path(), secret).start().stop();
            begun.elapsed()
        };
        let moments = 3 * u32::try_from(rounds()).unwrap();
        for moment in 0..moments {
            let dir = tempfile::tempdir().unwrap();
            let doomed = serve(dir.path(), secret).launch();
            // The moment is what is tested, it waits for nothing.
            thread::sleep(whole * moment / moments);
            doomed.kill();
            let server = serve(dir.path(), secret).start();
            Wire::to(server.address).put("TOKEN", "value");
            server.stop();
            verify_with(dir.path(), secret);
            let server = serve(dir.path(), secret).start();
            assert_eq!(
                Wire::to(server.address).value("TOKEN").as_deref(),
                Some("value"),
                "killed after {:?}",
                whole * moment / moments
            );
            server.stop();
        }
    }
}

fn verify_with(dir: &Path, secret: &str) {
    let verified = Setup::verb("verify", dir)
        .env("OH_SECRET_KEY", secret)
        .run();
    assert_eq!(verified.code, Some(0), "{}", verified.said);
}

#[test]
fn a_change_of_keys_that_is_killed_at_any_moment_leaves_a_vault_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |key: u32| {
        let setup = Setup::keyed(dir.path());
        setup.env("OH_SECRET_KEY", format!("key {key}")).env(
            "OH_PREVIOUS_SECRET_KEYS_0",
            format!("key {}", key.saturating_sub(1)),
        )
    };
    let server = serve(0).start();
    Wire::to(server.address).put("TOKEN", "value");
    server.stop();
    for key in 1..=u32::try_from(rounds()).unwrap() {
        let doomed = serve(key).launch();
        // About the time of two scrypts, in which the slots change.
        thread::sleep(Duration::from_millis(u64::from(key) * 97 % 400));
        doomed.kill();
        let server = serve(key).start();
        assert_eq!(
            Wire::to(server.address).value("TOKEN").as_deref(),
            Some("value"),
            "key {key}"
        );
        server.stop();
        let slots: Vec<_> = std::fs::read_dir(dir.path().join("keys"))
            .unwrap()
            .collect();
        assert_eq!(slots.len(), 1, "key {key}: {slots:?}");
    }
}
