//! A turn of a conversation of which nothing is remembered: the first one after a start, or after a rest, reads its
//! log again.

use strongroom_benches::Result;
use strongroom_benches::process::Server;
use strongroom_benches::report::{Bar, Report};
use strongroom_benches::rounds::Spread;
use strongroom_benches::talk::Socket;
use strongroom_tests::model::Model;

use super::{MANY_EVENTS, SOME_EVENTS, Side, Talk, Turns};

/// A conversation with a long log, and our own shares of its turns, in seconds.
struct Long {
    events: usize,
    id: String,
    first: Vec<f64>,
    second: Vec<f64>,
}

/// Starts a server anew for each round, by `start`.
pub(super) fn turns(
    report: &mut Report,
    model: &Model,
    start: impl Fn() -> Result<Side>,
) -> Result<()> {
    let side = start()?;
    let mut all = Vec::new();
    for events in [SOME_EVENTS, MANY_EVENTS] {
        let Talk { id, .. } = side.with_events(events)?;
        let (first, second) = (Vec::new(), Vec::new());
        all.push(Long {
            events,
            id,
            first,
            second,
        });
    }
    Server::stop(side.server)?;
    for _ in 0..report.setting.rounds() {
        let side = start()?;
        for long in &mut all {
            let id = long.id.clone();
            let (api, socket) = (side.api(), Socket::to(side.server.address, &id)?);
            let mut talk = Talk { api, socket, id };
            let mut turn = || Turns::default().play(1, &side, model, &mut talk);
            long.first.push(turn()?);
            long.second.push(turn()?);
        }
        Server::stop(side.server)?;
    }
    report.table(
        "our own share of the first turn after a start",
        "as above, the log read again; beside it the turn that follows",
    );
    for long in all {
        let events = long.events;
        for (which, shares) in [("first", long.first), ("second", long.second)] {
            let spread = Spread::of(shares).scaled(1e3);
            let what = format!("the {which}, with {events} events");
            report.figure(&what, &spread, "ms", Bar::None);
        }
    }
    Ok(())
}
