//! Commits: what they store, mask, show, and what they leave alone when they fail.

use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_vault::{Options, Transaction};

use super::*;
use crate::conversation::event::{LlmMessage, Message, Parent, Role};
use crate::conversation::{Next, Query, Status};
use crate::llm::{Spent, Usage};
use crate::redact::ValueId;
use crate::tool::Content;

pub(in crate::conversation) fn journal(vault: &Vault) -> Arc<Journal> {
    let redactor = Redactor::new().unwrap().scope();
    let id = Id::fresh().unwrap();
    Journal::create(vault, id, &redactor, State::default(), Transaction::new()).unwrap()
}

pub(in crate::conversation) fn vault() -> Vault {
    Vault::in_memory(&Options::default()).unwrap()
}

pub(in crate::conversation) fn says(role: Role, text: &str) -> Body {
    Body::Message(Message {
        llm_message: LlmMessage {
            role,
            content: vec![Content::text(text)],
            ..LlmMessage::default()
        },
        ..Message::default()
    })
}

fn page(journal: &Journal) -> String {
    String::from_utf8(journal.events().page(&Query::default_page()).unwrap()).unwrap()
}

impl Query {
    fn default_page() -> Self {
        Self {
            limit: 100,
            ..Self::default()
        }
    }
}

#[test]
fn what_is_committed_is_there_after_opening_it_again() {
    let vault = vault();
    let journal = journal(&vault);
    let committed = journal
        .commit(|draft| {
            draft.state.title = Some("T".to_owned());
            draft.push(Source::User, says(Role::User, "hello"));
            draft.status(Status::Running);
            draft.status(Status::Running);
            draft.push(Source::Agent, says(Role::Assistant, "bye"))
        })
        .unwrap();
    assert_eq!(committed.events.len(), 3);
    assert_eq!(committed.events[2].id, committed.value);
    assert_eq!(journal.state().answer, Some(committed.value));
    assert_eq!(journal.len(), 3);
    let again = Journal::open(&vault, journal.id(), &journal.redactor);
    let again = again.unwrap().unwrap();
    assert_eq!(again.state(), journal.state());
    assert_eq!(page(&again), page(&journal));
    let read = again.events().read(0..9).unwrap();
    let stored: Vec<_> = committed.events.iter().map(|it| (**it).clone()).collect();
    assert_eq!(read, stored);
    assert!(!again.state().updated_at.is_empty());
    let other = Id::fresh().unwrap();
    assert!(
        Journal::open(&vault, other, &journal.redactor)
            .unwrap()
            .is_none()
    );
    let twice = Journal::create(
        &vault,
        journal.id(),
        &journal.redactor,
        State::default(),
        Transaction::new(),
    );
    assert!(matches!(twice, Err(Error::Conflict(_))));
}

#[test]
fn events_follow_each_other_and_state_updates_are_passed_over() {
    let vault = vault();
    let journal = journal(&vault);
    let events = journal
        .commit(|draft| {
            draft.push(Source::Environment, Body::state("tags", &1));
            draft.push(Source::Agent, says(Role::User, "a"));
            draft.push(Source::Environment, Body::state("tags", &2));
        })
        .unwrap()
        .events;
    let more = journal
        .commit(|draft| {
            draft.push(Source::Agent, says(Role::User, "b"));
            draft.push(Source::User, Body::Pause)
        })
        .unwrap()
        .events;
    let parents: Vec<_> = events.iter().chain(&more).map(|it| it.parent_id).collect();
    let [a, b] = [events[1].id, more[0].id].map(|id| Some(Parent::Event(id)));
    assert_eq!(parents, [None, Some(Parent::Root), a, a, b]);
    let places: Vec<_> = events.iter().chain(&more).map(|it| it.id.place()).collect();
    assert_eq!(places, [0, 1, 2, 3, 4]);
    let times: Vec<_> = events.iter().chain(&more).map(|it| it.timestamp).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");

    let first = self::journal(&vault);
    let first = first.commit(|draft| draft.push(Source::User, Body::Pause));
    assert_eq!(first.unwrap().events[0].parent_id, None);
}

#[test]
fn the_clock_going_back_is_not_seen() {
    let vault = vault();
    let journal = journal(&vault);
    let ahead = "2999-01-01T00:00:00".parse().unwrap();
    journal.commit(|draft| draft.state.newest = ahead).unwrap();
    let events = journal
        .commit(|draft| {
            draft.push(Source::User, Body::Pause);
            draft.push(Source::User, Body::Pause);
        })
        .unwrap()
        .events;
    assert_eq!(events[0].timestamp, ahead.next());
    assert_eq!(events[1].timestamp, ahead.next().next());
}

#[test]
fn nothing_sees_a_secret() {
    let vault = vault();
    let journal = journal(&vault);
    let secret = Plaintext::copy_of(b"correct-horse-battery");
    let id = ValueId::new("test", "SECRET");
    journal.redactor.learn(&id, &secret).unwrap();
    let mut subscription = journal.hub().subscribe().unwrap();
    let mut bodies = crate::conversation::event::tests::every_body("my correct-horse-battery!");
    let delta = bodies.pop().unwrap();
    let events = journal
        .commit(|draft| {
            for body in bodies {
                draft.push(Source::Agent, body);
            }
        })
        .unwrap()
        .events;
    journal.publish_frame(Source::Agent, delta).unwrap();
    let hidden = |text: &str| !text.contains("horse");
    for event in &events {
        assert!(hidden(&format!("{event:?}")), "{event:?}");
    }
    let stored = page(&journal);
    assert!(
        hidden(&stored) && stored.contains("my <secret-hidden>!"),
        "{stored}"
    );
    let mut frames = 0;
    while let Some(Next::Frame(frame)) = subscription.try_next() {
        assert!(hidden(std::str::from_utf8(&frame).unwrap()));
        frames += 1;
    }
    assert_eq!(frames, events.len() + 1);
}

#[test]
fn a_commit_that_is_refused_changes_nothing() {
    let vault = vault();
    let journal = journal(&vault);
    journal
        .commit(|draft| draft.push(Source::User, Body::Pause))
        .unwrap();
    let (before, log) = (journal.state(), page(&journal));
    let mut subscription = journal.hub().subscribe().unwrap();
    let refused = journal.commit(|draft| {
        draft.status(Status::Running);
        draft.push(Source::User, says(Role::User, &"x".repeat(EVENT_BYTES_MAX)));
    });
    let Err(Error::TooLarge { size, limit, .. }) = refused else {
        panic!("it was taken")
    };
    assert!(size > limit);
    let name = strongroom_vault::Name::new("other").unwrap();
    let refused = journal.commit(|draft| {
        draft.status(Status::Running);
        let absent = strongroom_vault::Expect::Version(7);
        let space = Space::of(journal.id()).unwrap();
        draft.also(|also| also.require(&space.namespace, &name, absent));
    });
    assert!(refused.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        journal.commit(|draft| {
            draft.status(Status::Running);
            panic!("in the change");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!((journal.state(), page(&journal)), (before, log));
    assert_eq!(subscription.try_next(), None);
    journal
        .commit(|draft| draft.status(Status::Running))
        .unwrap();
    assert_eq!(journal.len(), 2);
}

/// A title that came after the deletion wrote its conversation back.
#[test]
fn nothing_is_committed_once_it_is_closed() {
    let vault = vault();
    let journal = journal(&vault);
    let mut subscription = journal.hub().subscribe().unwrap();
    journal.close();
    let revision = vault.revision();
    let late = journal.commit(|draft| draft.push(Source::User, Body::Pause));
    assert!(matches!(late, Err(Error::Unknown)));
    assert_eq!(vault.revision(), revision);
    assert_eq!(subscription.try_next(), Some(Next::Closed));
}

/// The figures of single requests were in the state, and so in every commit.
#[test]
fn a_state_does_not_grow_with_the_requests() {
    let vault = vault();
    let journal = journal(&vault);
    let spent = |at: u64| Spent {
        response_id: format!("r-{at:05}"),
        usage: Usage::default(),
        cost: 0.5,
        latency: std::time::Duration::ZERO,
        at: std::time::UNIX_EPOCH,
    };
    let most = LLM_REQUEST_FIGURES_MAX as u64;
    let spend = |journal: &Journal, at: u64| {
        let spent = journal.commit(|draft| draft.spend("default", "m", &spent(at), 0));
        spent.unwrap();
    };
    spend(&journal, 0);
    let size = |journal: &Journal| serde_json::to_vec(&*journal.state()).unwrap().len();
    let before = size(&journal);
    (1..=most).for_each(|at| spend(&journal, at));
    assert!(size(&journal) < before + 10);
    let figures = journal.figures().unwrap();
    assert_eq!(figures.len() as u64, most);
    let shown = journal.state().stats.with(&figures);
    let shown: serde_json::Value = shown.read().unwrap();
    let own = &shown["usage_to_metrics"]["default"];
    assert_eq!(own["accumulated_cost"], 0.5 * (most as f64 + 1.0));
    assert_eq!(own["costs"].as_array().unwrap().len() as u64, most);
    let newest = own["token_usages"].as_array().unwrap().last().unwrap();
    assert_eq!(newest["response_id"], format!("r-{most:05}"));
    let fork = |reset| {
        let id = Id::fresh().unwrap();
        let also = Transaction::new();
        let forked = journal.fork(id, &journal.redactor, None, reset, |_| {}, also);
        let forked = forked.unwrap();
        (
            forked.figures().unwrap().len() as u64,
            forked.state().stats.cost(),
        )
    };
    assert_eq!(fork(true), (0, 0.0));
    assert_eq!(fork(false), (most, journal.state().stats.cost()));
}

#[test]
fn a_commit_of_nothing_is_none() {
    let vault = vault();
    let journal = journal(&vault);
    let revision = vault.revision();
    assert_eq!(journal.commit(|_| 5).unwrap().value, 5);
    assert_eq!(vault.revision(), revision);
}

#[test]
fn what_waits_for_a_person_is_kept_and_erased() {
    let vault = vault();
    let journal = journal(&vault);
    assert!(journal.pending().unwrap().is_none());
    let arguments = Plaintext::copy_of(b"{\"command\":\"true\"}");
    journal
        .commit(|draft| draft.set_pending(Some(arguments)))
        .unwrap();
    let pending = journal.pending().unwrap().unwrap();
    assert!(pending.expose() == b"{\"command\":\"true\"}");
    journal.commit(|draft| draft.set_pending(None)).unwrap();
    assert!(journal.pending().unwrap().is_none());
}

#[test]
fn an_erased_conversation_leaves_nothing() {
    let vault = vault();
    let records = vault.records();
    let journal = journal(&vault);
    journal
        .commit(|draft| draft.push(Source::User, Body::Pause))
        .unwrap();
    let space = Space::of(journal.id()).unwrap();
    vault.commit(space.erase(Transaction::new())).unwrap();
    assert_eq!(vault.records(), records);
    assert_eq!(
        vault.log_len(&space.namespace, &space.events).unwrap(),
        None
    );
    assert!(
        Journal::open(&vault, journal.id(), &journal.redactor)
            .unwrap()
            .is_none()
    );
}

#[test]
fn what_got_onto_the_disk_after_all_is_taken_up() {
    let vault = vault();
    let journal = journal(&vault);
    let twin = Journal::open(&vault, journal.id(), &journal.redactor)
        .unwrap()
        .unwrap();
    twin.commit(|draft| {
        draft.state.title = Some("late".to_owned());
        draft.push(Source::User, Body::Pause);
    })
    .unwrap();
    journal.writing().unknown = true;
    let mut subscription = journal.hub().subscribe().unwrap();
    let next = journal
        .commit(|draft| draft.push(Source::User, Body::Interrupt))
        .unwrap();
    assert_eq!(next.value.place(), 1);
    assert_eq!(journal.state().title.as_deref(), Some("late"));
    let came = std::iter::from_fn(|| subscription.try_next()).count();
    assert_eq!((came, journal.len()), (2, 2));
}

#[test]
fn a_subscriber_gets_every_event_once_and_in_order() {
    let vault = vault();
    let journal = journal(&vault);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for size in (0..300).map(|number| number % 3) {
                    let add = |draft: &mut Draft<'_>| {
                        (0..size).for_each(|_| {
                            draft.push(Source::User, Body::Pause);
                        });
                    };
                    journal.commit(add).unwrap();
                }
                done.store(true, Ordering::Release);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let mut subscription = journal.hub().subscribe().unwrap();
                    let mut places = Vec::new();
                    let events = journal.events();
                    let mut at = 0;
                    while at < subscription.from() {
                        let frames = events.frames(at..subscription.from()).unwrap();
                        at += frames.len() as u64;
                        places.extend(frames);
                    }
                    for _ in 0..20 {
                        while let Some(Next::Frame(frame)) = subscription.try_next() {
                            places.push(frame);
                        }
                        std::thread::yield_now();
                    }
                    for (place, frame) in places.iter().enumerate() {
                        let event = Event::from_bytes(frame).unwrap();
                        assert_eq!(event.id.place(), place as u64);
                    }
                }
            });
        }
    });
    assert_eq!(journal.len(), 600);
}

/// Prints medians: what grows with the log?
#[test]
#[ignore = "measures: cargo test --release -p strongroom-agent --lib times_at -- --ignored --nocapture"]
fn times_at_1_000_and_10_000_events() {
    let dir = tempfile::tempdir().unwrap();
    let unlock = strongroom_vault::Unlock::default();
    let (vault, _) = Vault::open(dir.path(), &unlock, &Options::default()).unwrap();
    let journal = journal(&vault);
    let text = "A line of some length, as tools print them.\n".repeat(20);
    let add = |draft: &mut Draft<'_>| draft.push(Source::User, says(Role::User, &text));
    let median = |what: &str, act: &mut dyn FnMut()| {
        let mut times: Vec<_> = (0..51)
            .map(|_| {
                let start = std::time::Instant::now();
                act();
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("{:>6} events: {what:<28} {:?}", journal.len(), times[25]);
    };
    for count in [100, 1_000, 10_000] {
        while journal.len() < count {
            let more = 50.min(count - journal.len());
            journal
                .commit(|draft| (0..more).for_each(|_| _ = add(draft)))
                .unwrap();
        }
        median("commit of one event", &mut || {
            _ = journal.commit(add).unwrap()
        });
        let query = Query {
            order: crate::conversation::Order::Descending,
            ..Query::default_page()
        };
        median("page of 100, newest", &mut || {
            _ = journal.events().page(&query)
        });
        let query = Query::default_page();
        median("page of 100, oldest", &mut || {
            _ = journal.events().page(&query)
        });
        let middle = journal.events().read(count / 2..count / 2 + 1).unwrap();
        let moment = middle[0].timestamp;
        median("since a time", &mut || _ = journal.events().since(moment));
        let id = middle[0].id;
        median("one by its id", &mut || _ = journal.events().event(id));
    }
}
