//! What it costs to start and wait for /bin/true: with secrets, isolated, and with much memory held by us. And what is
//! left of the secrets in the process that started it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use strongroom_agent::arena::Protection;
use strongroom_agent::child::{Launch, Stream};
use strongroom_agent::isolate::{Guard, Isolation};
use strongroom_benches::Result;
use strongroom_benches::memory::{Canaries, Found, PIECE_BYTES};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{interleave, median};
use strongroom_vault::Plaintext;

const SECRETS: usize = 10;
const SECRET_BYTES: usize = 32;
/// Of one way in one round; their median counts.
const STARTS: usize = 100;
const HELD_BYTES: usize = 512 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1..).unwrap_or_default() {
        [role, seed] if role == "--injector" => play(seed, inject),
        [role, seed] if role == "--usual" => play(seed, usual),
        _ => run("spawn", bench),
    }
}

fn bench(report: &mut Report) -> Result<()> {
    times(report)?;
    copies(report)
}

fn times(report: &mut Report) -> Result<()> {
    let data = std::env::temp_dir();
    let off = Guard::off();
    let guard = Isolation::Auto.prepare(&[&data])?;
    let value = || Plaintext::copy_of(&[b'a'; SECRET_BYTES]);
    let secrets: Vec<_> = (0..SECRETS)
        .map(|i| (format!("SECRET_{i}"), value()))
        .collect();
    let starts = report.setting.count(STARTS);
    report.table(
        "start and wait of /bin/true",
        &format!(
            "{starts} starts a round; isolation {}",
            guard.availability()
        ),
    );
    let timed = |guard: &Guard, secrets: &[(String, Plaintext)], held: usize| {
        let ballast = vec![1_u8; held];
        let time = median(starts, || start(guard, secrets));
        drop(std::hint::black_box(ballast));
        time
    };
    start(&off, &secrets)?; // the program comes from the disk once
    let [plain, ten, isolated, held, ten_held, isolated_held] = interleave(
        report.setting.rounds(),
        [
            &mut || timed(&off, &[], 0),
            &mut || timed(&off, &secrets, 0),
            &mut || timed(&guard, &secrets, 0),
            &mut || timed(&off, &[], HELD_BYTES),
            &mut || timed(&off, &secrets, HELD_BYTES),
            &mut || timed(&guard, &secrets, HELD_BYTES),
        ],
    )?;
    report.figure(
        "without secrets",
        &plain.spread().scaled(1e6),
        "us",
        Bar::None,
    );
    let over = [
        ("10 secrets", ten, 1.3),
        ("10 secrets, isolated", isolated, 3.0),
        ("without secrets, 512 MiB held", held, 2.0),
        ("10 secrets, 512 MiB held", ten_held, 2.0),
        ("10 secrets, isolated, 512 MiB held", isolated_held, 3.0),
    ];
    for (what, arm, most) in over {
        report.figure(
            &format!("{what}, over that"),
            &arm.over(&plain),
            "",
            Bar::AtMost(most),
        );
    }
    Ok(())
}

fn start(guard: &Guard, secrets: &[(String, Plaintext)]) -> Result<()> {
    let mut launch = Launch::new("/bin/true", guard)
        .stdin(Stream::Inherit)
        .stdout(Stream::Inherit)
        .stderr(Stream::Inherit);
    for (name, value) in secrets {
        launch.secret(name, value)?;
    }
    let exit = launch.spawn()?.wait()?;
    if exit.success() {
        Ok(())
    } else {
        Err(format!("/bin/true ended with {exit}").into())
    }
}

fn copies(report: &mut Report) -> Result<()> {
    let protection = Protection::here()?;
    report.table(
        "copies left in the process that starts a child",
        &format!(
            "{SECRETS} secrets of {SECRET_BYTES} bytes, the standard allocator, memory {protection}; whole secrets \
             and pieces of {PIECE_BYTES} bytes"
        ),
    );
    let [held, started] = look("--injector")?;
    let bar = if protection == Protection::Hidden {
        Bar::AtMost(0.0)
    } else {
        Bar::None
    };
    report.single("pieces while held for a child", held.pieces as f64, "", bar);
    report.single(
        "whole, once it has started",
        started.whole as f64,
        "",
        Bar::AtMost(0.0),
    );
    report.single(
        "pieces, once it has started",
        started.pieces as f64,
        "",
        Bar::AtMost(0.0),
    );
    let [_, usual] = look("--usual")?;
    let what = "pieces left by the standard library (shows that the search works)";
    report.single(what, usual.pieces as f64, "", Bar::AtLeast(1.0));
    Ok(())
}

/// Has a process of its own start a child, and looks into it before and after.
fn look(role: &str) -> Result<[Found; 2]> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let seed = u64::from_le_bytes(seed) | 1;
    let mut secrets = Vec::new();
    for number in 0..SECRETS {
        let mut secret = vec![0; SECRET_BYTES];
        draw(seed, number, &mut secret);
        secrets.push(secret);
    }
    let canaries = Canaries::new(secrets);
    let mut command = Command::new(std::env::current_exe()?);
    command.args([role, &seed.to_string()]);
    let mut player = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut says = BufReader::new(player.stdout.take().ok_or("no output")?);
    let mut tell: ChildStdin = player.stdin.take().ok_or("no input")?;
    let mut next = |says: &mut BufReader<ChildStdout>| -> Result<Found> {
        says.read_line(&mut String::new())?;
        let found = canaries.look_in(player.id());
        tell.write_all(b"\n")?;
        found
    };
    let found = [next(&mut says)?, next(&mut says)?];
    player.wait()?;
    Ok(found)
}

/// The part of a process that starts a child, as it is told from standard input.
fn play(seed: &str, part: fn(u64) -> Result<()>) -> ExitCode {
    match seed.parse().map_err(Into::into).and_then(part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn wait_to_be_told() -> Result<()> {
    let mut out = std::io::stdout();
    out.write_all(b"\n").and_then(|()| out.flush())?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn inject(seed: u64) -> Result<()> {
    let mut launch = Launch::new("/bin/true", &Guard::off());
    for number in 0..SECRETS {
        let value = Plaintext::fill(SECRET_BYTES, |room| {
            draw(seed, number, room);
            Ok::<(), std::convert::Infallible>(())
        })?;
        launch.secret(format!("SECRET_{number}"), &value)?;
    }
    wait_to_be_told()?;
    launch.spawn()?.wait()?;
    wait_to_be_told()
}

/// The same by the standard library.
fn usual(seed: u64) -> Result<()> {
    wait_to_be_told()?;
    let mut command = Command::new("/bin/true");
    for number in 0..SECRETS {
        let mut value = vec![0; SECRET_BYTES];
        draw(seed, number, &mut value);
        command.env(format!("SECRET_{number}"), String::from_utf8(value)?);
    }
    command.status()?;
    drop(command);
    wait_to_be_told()
}

/// Writes the letters of a secret in place: a copy anywhere else would be found.
fn draw(seed: u64, number: usize, room: &mut [u8]) {
    let mut state = seed.wrapping_add(number as u64 * 0x9e37_79b9_7f4a_7c15) | 1;
    for byte in room {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = b'a' + (state % 26) as u8;
    }
}
