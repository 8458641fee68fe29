//! What a start leaves in our memory: another process looks, since a search leaves copies of what it searches for.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use super::*;
use crate::arena::Protection;

const SECRETS: usize = 10;
const SECRET_BYTES: usize = 32;
const PIECE_BYTES: usize = 16;

/// Secret `i`, made byte by byte in place: no other copy ever exists.
fn canary(i: usize, out: &mut [u8]) {
    for (k, byte) in out.iter_mut().enumerate() {
        let mixed = ((i * 64 + k) as u64 ^ 0x9e37_79b9).wrapping_mul(0xff51_afd7_ed55_8ccd);
        *byte = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789"[(mixed >> 40) as usize & 31];
    }
}

#[test]
#[ignore = "the process that is looked at; started by the test below"]
fn role_of_the_process_looked_at() {
    let step = |word: &str| {
        println!("\n{word}");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    };
    println!("\n{:?}", Protection::here().unwrap());
    step("BEGUN");
    let secrets: Vec<Plaintext> = (0..SECRETS)
        .map(|i| {
            Plaintext::fill(SECRET_BYTES, |out| {
                canary(i, out);
                Ok::<(), ()>(())
            })
            .unwrap()
        })
        .collect();
    let script = "echo; for i in 0 1 2 3 4 5 6 7 8 9; do eval echo \\$SECRET_$i; done";
    let mut launch = Launch::new("sh", &Guard::off())
        .arguments(["-c", script])
        .stdout(Stream::Inherit);
    for (i, secret) in secrets.iter().enumerate() {
        launch.secret(format!("SECRET_{i}"), secret).unwrap();
    }
    step("READY");
    let mut child = launch.spawn().unwrap();
    assert!(child.wait().unwrap().success());
    step("STARTED");
    drop(secrets);
    step("DROPPED");
}

struct Looked {
    pid: u32,
    words: BufReader<ChildStdout>,
    go: ChildStdin,
}

impl Looked {
    /// Waits for the next of the process' words; returns the lines that came before.
    fn until(&mut self, word: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                self.words.read_line(&mut line).unwrap() > 0,
                "it ended before {word}"
            );
            if line.trim() == word {
                return lines;
            }
            lines.push(line.trim().to_owned());
        }
    }

    fn go(&mut self) {
        self.go.write_all(b"\n").unwrap();
    }

    /// Whole secrets and pieces of [`PIECE_BYTES`] in its memory. (A whole one counts as its 17 pieces too.)
    fn count(&self) -> (usize, usize) {
        let mut pieces = HashMap::new();
        let mut first = vec![false; 1 << 16];
        for i in 0..SECRETS {
            let mut secret = [0; SECRET_BYTES];
            canary(i, &mut secret);
            for (at, piece) in secret.windows(PIECE_BYTES).enumerate() {
                first[usize::from(u16::from_ne_bytes([piece[0], piece[1]]))] = true;
                pieces.insert(piece.to_vec(), (at == 0).then_some(secret));
            }
        }
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap();
        let mem = std::fs::File::open(format!("/proc/{}/mem", self.pid)).unwrap();
        let (mut whole, mut partial, mut read) = (0, 0, 0);
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (start, end) = words.next().unwrap().split_once('-').unwrap();
            let number = |hex| u64::from_str_radix(hex, 16).unwrap();
            if !words.next().unwrap().starts_with('r') || line.contains("[v") {
                continue;
            }
            let mut bytes = vec![0; usize::try_from(number(end) - number(start)).unwrap()];
            if mem.read_exact_at(&mut bytes, number(start)).is_err() {
                continue; // memory that nobody can read: what is asked for
            }
            read += bytes.len();
            for (at, window) in bytes.windows(PIECE_BYTES).enumerate() {
                if first[usize::from(u16::from_ne_bytes([window[0], window[1]]))]
                    && let Some(secret) = pieces.get(window)
                {
                    partial += 1;
                    whole +=
                        usize::from(secret.is_some_and(|secret| bytes[at..].starts_with(&secret)));
                }
            }
        }
        assert!(read > 1 << 20, "only {read} bytes could be read");
        (whole, partial)
    }
}

#[test]
fn no_copy_of_a_secret_stays_with_us() {
    look(
        &Protection::here().unwrap(),
        Command::new(std::env::current_exe().unwrap()),
    );
}

#[test]
fn no_copy_stays_where_memory_cannot_be_locked() {
    let without = "ulimit -l 0; if [ $(id -u) = 0 ]; then exec setpriv --bounding-set=-ipc_lock \"$0\" \"$@\"; fi; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", without])
        .arg(std::env::current_exe().unwrap());
    look(&Protection::Plain, command);
}

fn look(protection: &Protection, mut command: Command) {
    const PIECES: usize = SECRET_BYTES - PIECE_BYTES + 1;
    let mut process = command
        .args([
            "--exact",
            "child::tests::residue::role_of_the_process_looked_at",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let words = BufReader::new(process.stdout.take().unwrap());
    let mut looked = Looked {
        pid: process.id(),
        words,
        go: process.stdin.take().unwrap(),
    };

    assert!(looked.until("BEGUN").contains(&format!("{protection:?}")));
    assert_eq!(
        looked.count(),
        (0, 0),
        "the canaries must not be in the program itself"
    );
    looked.go();

    looked.until("READY");
    let mine = (SECRETS, SECRETS * PIECES);
    let while_held = match protection {
        Protection::Hidden => mine,
        Protection::Locked | Protection::Plain => (2 * mine.0, 2 * mine.1),
    };
    assert_eq!(
        looked.count(),
        while_held,
        "the caller's values, and the environment where it can be read"
    );
    looked.go();

    let said = looked.until("STARTED");
    for i in 0..SECRETS {
        let mut secret = [0; SECRET_BYTES];
        canary(i, &mut secret);
        assert!(
            said.iter().any(|line| line.as_bytes() == secret),
            "secret {i} did not arrive"
        );
    }
    assert_eq!(looked.count(), mine, "the caller's values and nothing else");
    looked.go();

    looked.until("DROPPED");
    assert_eq!(looked.count(), (0, 0));
    looked.go();
    assert!(process.wait().unwrap().success());
}
