//! Conversations with a model that answers at once: ours against the reference server, and by themselves.

#[path = "conversations/cold.rs"]
mod cold;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom_agent::limits::{CONVERSATION_LOOK_SECONDS, HISTORY_IDLE_SECONDS};
use strongroom_benches::process::{Server, built, strongroom};
use strongroom_benches::reference::{self, SECRET_KEY};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{Spread, interleave, mean};
use strongroom_benches::setting::file_system;
use strongroom_benches::talk::{Api, Socket};
use strongroom_benches::{Failure, Result};
use strongroom_tests::model::{Asked, Model, Reply};
use tempfile::TempDir;

/// Conversations at once, and the turns of each.
const MANY: usize = 20;
const TURNS: usize = 10;
/// Sizes of the log that are compared.
const FEW_EVENTS: usize = 100;
const SOME_EVENTS: usize = 1_000;
const MANY_EVENTS: usize = 10_000;
const IDLE: usize = 100;
/// Conversations with a long log.
const LONG: usize = 3;
/// What building a request's body may take, in bytes per second.
const BODY_RATE: f64 = 100e6;
/// The message to which the model says something without running anything.
const ONLY_TALK: &str = "only talk";

fn main() -> ExitCode {
    run("conversations", |report| {
        let dir = TempDir::new()?;
        let model = Model::by_rule(rule)?;
        let program = built("strongroom-http", "strongroom")?;
        let start = |data: &str| -> Result<Side> {
            let mut command = strongroom(&program, &dir.path().join(data));
            // Its shells need the usual programs.
            command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
            let server = Server::start(command.env("OH_SECRET_KEY", SECRET_KEY))?;
            Ok(Side::new(server, dir.path(), &model))
        };
        let ours = start("data")?;
        match reference::python() {
            Some(python) => {
                let home = dir.path().join("home");
                std::fs::create_dir(&home)?;
                let theirs = reference::start(&python, &dir.path().join("state"), &home)?;
                compare(report, &ours, &Side::new(theirs, dir.path(), &model))?;
            }
            None => report.note(
                "no comparison: there is no Python with the reference (tests/sdk/venv makes it)",
            ),
        }
        share_of_a_turn(report, &ours, &model)?;
        cold::turns(report, &model, || start("cold"))?;
        pages(report, &ours)?;
        frames(report, &ours)?;
        idle(report, &ours)
    })
}

/// Runs a command at a message, and ends the turn with what it gave.
fn rule(asked: &Asked) -> Reply {
    let newest = asked.body.len().saturating_sub(4096);
    let newest = asked.body.get(newest..).unwrap_or(&asked.body);
    if asked.answers_a_tool() || newest.contains(ONLY_TALK) {
        Reply::says("done")
    } else {
        Reply::runs("true")
    }
}

/// A server, and what its conversations need.
struct Side {
    server: Server,
    workspace: PathBuf,
    model: String,
}

/// A conversation that is listened to.
struct Talk {
    api: Api,
    socket: Socket,
    id: String,
}

impl Side {
    fn new(server: Server, dir: &Path, model: &Model) -> Self {
        let workspace = dir.join(format!("workspace-{}", server.id()));
        Self {
            server,
            workspace,
            model: model.url(),
        }
    }

    fn api(&self) -> Api {
        Api::to(self.server.address)
    }

    fn create(&self, api: &mut Api) -> Result<String> {
        api.create(&self.model, &self.workspace)
    }

    fn talk(&self) -> Result<Talk> {
        let mut api = self.api();
        let id = self.create(&mut api)?;
        let socket = Socket::to(self.server.address, &id)?;
        Ok(Talk { api, socket, id })
    }

    /// One whose log has about so many events: each message makes two.
    fn with_events(&self, events: usize) -> Result<Talk> {
        let mut talk = self.talk()?;
        let (api, id) = (&mut talk.api, talk.id.clone());
        for number in 0..events / 2 {
            api.say(&id, &format!("message {number}"), false)?;
        }
        // What it said until now has been heard.
        talk.socket = Socket::to(self.server.address, &id)?;
        Ok(talk)
    }
}

impl Talk {
    fn turn(&mut self, text: &str) -> Result<()> {
        self.api.say(&self.id, text, true)?;
        self.socket.finished()
    }

    /// Reads the whole log.
    fn read(&mut self) -> Result<()> {
        let first = format!("/api/conversations/{}/events/search?limit=100", self.id);
        let mut path = first.clone();
        loop {
            let page = self.api.call("GET", &path, None)?;
            match page.get("next_page_id").and_then(Value::as_str) {
                Some(next) => path = format!("{first}&page_id={next}"),
                None => return Ok(()),
            }
        }
    }
}

fn compare(report: &mut Report, ours: &Side, theirs: &Side) -> Result<()> {
    let (mut talk, mut talk2) = (ours.talk()?, theirs.talk()?);
    let (mut api, mut api2) = (ours.api(), theirs.api());
    let (few, some) = (report.setting.count(5), report.setting.count(50));
    let [create, create2, turn, turn2] = interleave(
        report.setting.rounds(),
        [
            &mut || mean(some, || ours.create(&mut api).map(drop)),
            &mut || mean(few, || theirs.create(&mut api2).map(drop)),
            &mut || mean(some, || talk.turn("do it")),
            &mut || mean(few, || talk2.turn("do it")),
        ],
    )?;
    report.table(
        "time, the reference's / ours",
        &format!(
            "a model that answers at once, session key, on {}; ours is on disk when it answers",
            file_system(&ours.workspace)
        ),
    );
    for (what, ours, theirs) in [
        ("creating a conversation", &create, &create2),
        ("a turn with the command true", &turn, &turn2),
    ] {
        report.figure(what, &theirs.over(ours), "", Bar::AtLeast(10.0));
        report.note(&format!(
            "  medians: {:.2} and {:.1} ms",
            ours.spread().median() * 1e3,
            theirs.spread().median() * 1e3
        ));
    }
    let turns = report.setting.count(TURNS);
    let (mine, mine_cpu) = crowd(ours, turns)?;
    let (other, other_cpu) = crowd(theirs, turns)?;
    report.table(
        "conversations at once",
        &format!("{MANY}, {turns} turns each; processor time of the server without its shells"),
    );
    let all = (MANY * turns) as f64;
    report.single(
        "turns per second, ours / the reference",
        other / mine,
        "",
        Bar::AtLeast(10.0),
    );
    report.note(&format!(
        "  {:.0} and {:.1} per second",
        all / mine,
        all / other
    ));
    report.single(
        "processor time, ours / the reference's",
        mine_cpu / other_cpu,
        "",
        Bar::AtMost(0.1),
    );
    report.note(&format!(
        "  {:.2} and {:.1} ms a turn",
        mine_cpu / all * 1e3,
        other_cpu / all * 1e3
    ));
    Ok(())
}

/// Seconds that all turns took, and of processor time.
fn crowd(side: &Side, turns: usize) -> Result<(f64, f64)> {
    let mut talks = (0..MANY).map(|_| side.talk()).collect::<Result<Vec<_>>>()?;
    for talk in &mut talks {
        // The agent and its shell are made at the first.
        talk.turn("do it")?;
    }
    let (begun, before) = (Instant::now(), side.server.processor_seconds()?);
    std::thread::scope(|scope| {
        let play =
            |mut talk: Talk| -> Result<()> { (0..turns).try_for_each(|_| talk.turn("do it")) };
        let players = talks
            .into_iter()
            .map(|talk| scope.spawn(move || play(talk)));
        let players: Vec<_> = players.collect();
        players
            .into_iter()
            .try_for_each(|player| player.join().map_err(|_| "a player panicked")?)
    })?;
    let time = begun.elapsed().as_secs_f64();
    Ok((time, side.server.processor_seconds()? - before))
}

/// What a turn takes beyond the model, the command, and the body at the rate that it has to have.
fn share_of_a_turn(report: &mut Report, ours: &Side, model: &Model) -> Result<()> {
    let mut some = ours.with_events(SOME_EVENTS)?;
    let mut many = ours.with_events(MANY_EVENTS)?;
    for talk in [&mut some, &mut many] {
        // The first one reads the log.
        talk.turn(ONLY_TALK)?;
    }
    let count = report.setting.count(20);
    let [mut some_turns, mut many_turns] = [Turns::default(), Turns::default()];
    let [some, many] = interleave(
        report.setting.rounds(),
        [
            &mut || some_turns.play(count, ours, model, &mut some),
            &mut || many_turns.play(count, ours, model, &mut many),
        ],
    )?;
    report.table(
        "our own share of a turn",
        "without the model, and without a request's body at 100 MB/s; medians of a round",
    );
    let at = |events: usize| format!("with {events} events");
    report.figure(
        &at(SOME_EVENTS),
        &some.spread().scaled(1e3),
        "ms",
        Bar::AtMost(20.0),
    );
    report.figure(
        &at(MANY_EVENTS),
        &many.spread().scaled(1e3),
        "ms",
        Bar::None,
    );
    let what = format!("{MANY_EVENTS} events, over {SOME_EVENTS}");
    report.figure(&what, &many.over(&some), "", Bar::AtMost(1.5));
    for (turns, events) in [(&some_turns, SOME_EVENTS), (&many_turns, MANY_EVENTS)] {
        let whole = Spread::of(turns.whole.iter().copied()).median() * 1e3;
        report.note(&format!("  {whole:.2} ms with the body, {}", at(events)));
    }
    // By processor time, which the disk does not touch; sending the body is in it.
    let rate = (many_turns.bytes - some_turns.bytes) / (many_turns.cpu - some_turns.cpu);
    report.single(
        "building and sending a request's body, MB per second of processor",
        rate / 1e6,
        "",
        Bar::AtLeast(BODY_RATE / 1e6),
    );
    Ok(())
}

/// Turns that were played: each without the model, and what all of them took.
#[derive(Default)]
struct Turns {
    whole: Vec<f64>,
    bytes: f64,
    cpu: f64,
}

impl Turns {
    /// Our share of a turn: the median of so many.
    fn play(&mut self, count: usize, ours: &Side, model: &Model, talk: &mut Talk) -> Result<f64> {
        let cpu = ours.server.processor_seconds()?;
        let mut shares = Vec::with_capacity(count);
        for _ in 0..count {
            let (before, begun) = (model.load(), Instant::now());
            talk.turn(ONLY_TALK)?;
            let (after, took) = (model.load(), begun.elapsed());
            let whole = (took - (after.time - before.time)).as_secs_f64();
            let bytes = (after.bytes - before.bytes) as f64;
            shares.push(whole - bytes / BODY_RATE);
            self.whole.push(whole);
            self.bytes += bytes;
        }
        self.cpu += ours.server.processor_seconds()? - cpu;
        Ok(Spread::of(shares).median())
    }
}

fn pages(report: &mut Report, ours: &Side) -> Result<()> {
    let mut few = ours.with_events(FEW_EVENTS)?;
    let mut many = ours.with_events(MANY_EVENTS)?;
    let count = report.setting.count(50);
    // The newest events, which a longer log must not make dearer.
    let page = |talk: &mut Talk| {
        let path = format!(
            "/api/conversations/{}/events/search?limit=50&sort_order=TIMESTAMP_DESC",
            talk.id
        );
        mean(count, || talk.api.call("GET", &path, None).map(drop))
    };
    let [few, many] = interleave(
        report.setting.rounds(),
        [&mut || page(&mut few), &mut || page(&mut many)],
    )?;
    report.table("a page of 50 events", "the newest first");
    report.figure(
        &format!("of {FEW_EVENTS}"),
        &few.spread().scaled(1e3),
        "ms",
        Bar::None,
    );
    let what = format!("of {MANY_EVENTS}, over {FEW_EVENTS}");
    report.figure(&what, &many.over(&few), "", Bar::AtMost(1.25));
    Ok(())
}

/// From the answer to a message, which says that it is on disk, to its frame.
fn frames(report: &mut Report, ours: &Side) -> Result<()> {
    let Talk {
        mut api,
        mut socket,
        id,
    } = ours.talk()?;
    let count = report.setting.count(500);
    let (heard, hear) = mpsc::channel();
    let listener = std::thread::spawn(move || -> Result<()> {
        for _ in 0..count {
            socket.until(|frame| frame.contains("MessageEvent"))?;
            heard.send(Instant::now())?;
        }
        Ok(())
    });
    let (mut late, mut whole) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let asked = Instant::now();
        api.say(&id, "hello", false)?;
        let durable = Instant::now();
        let heard = hear.recv()?;
        // It may well come before the answer.
        late.push(heard.saturating_duration_since(durable).as_secs_f64());
        whole.push((heard - asked).as_secs_f64());
    }
    listener.join().map_err(|_| "the listener panicked")??;
    report.table(
        "a frame after its event is on disk",
        &format!("{count} messages"),
    );
    let late = Spread::of(late).scaled(1e3);
    report.figure(
        "from the answer to the frame",
        &late,
        "ms",
        Bar::AtMost(5.0),
    );
    let whole = Spread::of(whole).scaled(1e3);
    report.figure(
        "from the request to the frame, the disk included",
        &whole,
        "ms",
        Bar::None,
    );
    Ok(())
}

fn idle(report: &mut Report, ours: &Side) -> Result<()> {
    let before = ours.server.resident_bytes()?;
    for _ in 0..IDLE {
        // Its socket closes.
        ours.talk()?.turn(ONLY_TALK)?;
    }
    let each = (ours.server.resident_bytes()? - before) / IDLE as f64;
    report.table(
        "memory",
        &format!("{IDLE} conversations after a turn without a shell"),
    );
    report.single(
        "an idle conversation",
        each / 1024.0,
        "KiB",
        Bar::AtMost(1024.0),
    );
    let mut long = Vec::new();
    for _ in 0..LONG {
        let mut talk = ours.with_events(MANY_EVENTS)?;
        // The store's cache is as full then as a turn makes it.
        talk.read()?;
        long.push(talk);
    }
    let before = ours.server.resident_bytes()?;
    for talk in &mut long {
        talk.turn(ONLY_TALK)?;
    }
    let each = || Ok::<_, Failure>((ours.server.resident_bytes()? - before) / LONG as f64 / 1024.0);
    report.single(
        &format!("the history of {MANY_EVENTS} events, kept for the next turn"),
        each()?,
        "KiB",
        Bar::None,
    );
    // Nothing tells when it is forgotten, but by then it is.
    std::thread::sleep(Duration::from_secs(
        HISTORY_IDLE_SECONDS + CONVERSATION_LOOK_SECONDS + 1,
    ));
    report.single(
        &format!("a conversation of {MANY_EVENTS} events that has rested"),
        each()?,
        "KiB",
        Bar::AtMost(1024.0),
    );
    Ok(())
}
