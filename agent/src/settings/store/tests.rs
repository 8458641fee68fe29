//! Many callers at one store, what is kept of the settings, and times.

use super::*;
use crate::json::Json;
use crate::settings::ProfileKind;
use strongroom_vault::Options;
use strongroom_vault::audit::{Filter, Order};

fn store() -> Store {
    let vault = Vault::in_memory(&Options::default()).unwrap();
    Store::new(vault, Keys::none(), "logs/completions".to_owned()).unwrap()
}

fn patch(store: &Store, body: &str) -> Result<i64, SettingsError> {
    let body = Json::parse(body.as_bytes()).unwrap();
    store.change(move |desk| {
        desk.patch(Some(&body))?;
        desk.revision()
    })
}

#[test]
fn times_are_those_of_the_calendar() {
    let at =
        |seconds: u64, micros: u32| timestamp(UNIX_EPOCH + Duration::new(seconds, micros * 1_000));
    assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
    assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
    assert_eq!(at(1_735_689_599, 999_999), "2024-12-31T23:59:59.999999Z");
}

#[test]
fn every_one_of_many_writers_is_stored_and_counted() {
    let store = store();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for turn in 0..20 {
                    let body =
                        format!(r#"{{"misc_settings_diff":{{"w{writer}":{{"t{turn}":1}}}}}}"#);
                    patch(store, &body).unwrap();
                }
            });
        }
    });
    let shown = store.view(Expose::Masked).unwrap();
    assert_eq!(shown.revision, 160);
    let misc = Json::parse(shown.body.expose()).unwrap();
    let misc = misc.get("misc_settings").unwrap();
    for writer in 0..8 {
        assert_eq!(
            misc.get(&format!("w{writer}"))
                .unwrap()
                .as_object()
                .unwrap()
                .len(),
            20
        );
    }
    assert_eq!(store.vault().records(), 1);
}

#[test]
fn what_is_kept_of_the_settings_is_never_old() {
    let store = store();
    for turn in 1..5_u64 {
        patch(
            &store,
            &format!(r#"{{"misc_settings_diff":{{"turn":{turn}}}}}"#),
        )
        .unwrap();
        for _ in 0..2 {
            let shown = Json::parse(store.view(Expose::Masked).unwrap().body.expose()).unwrap();
            assert!(
                shown
                    .get("misc_settings")
                    .unwrap()
                    .get("turn")
                    .unwrap()
                    .same(&Json::from(turn))
            );
        }
    }
}

#[test]
fn a_refused_call_stores_nothing_and_a_panic_stops_nobody() {
    let store = store();
    assert!(
        patch(
            &store,
            r#"{"conversation_settings_diff":{"max_iterations":0}}"#
        )
        .is_err()
    );
    assert_eq!(store.vault().records(), 0);
    let died =
        store.change(|_| -> Result<(), SettingsError> { std::panic::resume_unwind(Box::new(())) });
    assert!(matches!(died, Err(SettingsError::Shelf(_))));
    assert_eq!(
        patch(&store, r#"{"misc_settings_diff":{"a":1}}"#).unwrap(),
        1
    );
}

#[test]
fn a_stale_revision_is_refused() {
    let store = store();
    patch(&store, r#"{"misc_settings_diff":{"a":1}}"#).unwrap();
    let refused = store.change(|desk| desk.expect(0));
    assert!(matches!(refused, Err(SettingsError::Stale)));
    assert!(store.change(|desk| desk.expect(1)).is_ok());
}

/// Held back until all of them wait, so that they are one batch.
fn at_once<T: Send>(store: &Store, count: usize, call: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let held = store.hold();
    std::thread::scope(|scope| {
        let call = &call;
        let calls: Vec<_> = (0..count).map(|n| scope.spawn(move || call(n))).collect();
        while lock(&store.queue).waiting.len() < count {
            std::thread::yield_now();
        }
        drop(held);
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

#[test]
fn each_of_a_batch_gets_its_own_answer_and_a_failed_one_leaves_no_trace() {
    let store = store();
    let answers = at_once(&store, 16, |n| {
        // Every fourth fails after a part of it was found good; every fourth asks for a revision that is gone.
        let limit = if n % 4 == 1 { 0 } else { 100 + n };
        let body = format!(
            r#"{{"agent_settings_diff":{{"agent":"a{n}"}},"conversation_settings_diff":{{"max_iterations":{limit}}},
            "misc_settings_diff":{{"m{n}":1}}}}"#
        );
        let body = Json::parse(body.as_bytes()).unwrap();
        store.change(move |desk| {
            if n % 4 == 3 {
                desk.expect(1_000)?;
            }
            Ok((desk.patch(Some(&body))?, desk.revision()?))
        })
    });
    assert_eq!(store.vault().revision(), 1, "all in one commit");
    let mut revisions = Vec::new();
    for (n, answer) in answers.into_iter().enumerate() {
        match (n % 4, answer) {
            (1, Err(SettingsError::Invalid)) | (3, Err(SettingsError::Stale)) => {}
            (0 | 2, Ok((document, revision))) => {
                let agent = document.get("agent_settings").unwrap().get("agent");
                assert_eq!(agent.unwrap().as_text().unwrap(), format!("a{n}"));
                // What it shows is what was so after it: its own change and those before it.
                let misc = document.get("misc_settings").unwrap().as_object().unwrap();
                assert!(misc.contains(&format!("m{n}")));
                assert_eq!(i64::try_from(misc.len()).unwrap(), revision);
                revisions.push(revision);
            }
            (_, Ok(_)) => panic!("{n} should have failed"),
            (_, Err(error)) => panic!("{n}: {error}"),
        }
    }
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6, 7, 8]);
    let shown = store.view(Expose::Masked).unwrap();
    assert_eq!(shown.revision, 8);
    let shown = Json::parse(shown.body.expose()).unwrap();
    let mut kept: Vec<&str> = shown
        .get("misc_settings")
        .unwrap()
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, _)| name)
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, ["m0", "m10", "m12", "m14", "m2", "m4", "m6", "m8"]);
}

#[test]
fn patches_and_other_calls_at_one_desk_see_each_other() {
    let store = store();
    let step = |store: &Store| {
        store.change(|desk| {
            let body = |text: &str| Json::parse(text.as_bytes()).unwrap();
            desk.patch(Some(&body(r#"{"misc_settings_diff":{"a":1}}"#)))?;
            let server = body(r#"{"url":"http://localhost/one","transport":"http"}"#);
            let made = desk.create_server("one", Some(&server))?;
            assert!(made.get("misc_settings").unwrap().get("a").is_some());
            let failed = desk.create_server("one", Some(&server));
            assert!(matches!(failed, Err(SettingsError::ServerExists(_))));
            let last = desk.patch(Some(&body(r#"{"misc_settings_diff":{"b":1}}"#)))?;
            let gone = desk.delete_server("two");
            assert!(matches!(gone, Err(SettingsError::UnknownServer(_))));
            Ok((last, desk.revision()?))
        })
    };
    let (last, revision) = step(&store).unwrap();
    assert_eq!(revision, 3);
    let shown = store.view(Expose::Masked).unwrap();
    assert!(Json::parse(shown.body.expose()).unwrap().same(&last));
    let servers = last.get("agent_settings").unwrap().get("mcp_config");
    assert!(servers.unwrap().get("one").is_some());
}

#[test]
fn when_a_batch_is_not_stored_every_member_learns_it() {
    let store = store();
    // A name that no record can have: the transaction is refused as a whole.
    let answers = at_once(&store, 16, |n| {
        if n == 7 {
            store.change(|desk| {
                let place = Place::Profile(ProfileKind::Llm, String::new());
                desk.attempt(|desk| {
                    desk.put(place, Plaintext::copy_of(b"x"));
                    Ok(0)
                })
            })
        } else {
            patch(&store, &format!(r#"{{"misc_settings_diff":{{"m{n}":1}}}}"#))
        }
    });
    for answer in answers {
        assert!(matches!(answer, Err(SettingsError::Shelf(_))));
    }
    assert_eq!(store.vault().records(), 0);
    assert_eq!(
        patch(&store, r#"{"misc_settings_diff":{"a":1}}"#).unwrap(),
        1
    );
}

#[test]
fn a_panic_in_a_batch_leaves_nobody_waiting() {
    let store = store();
    let answers = at_once(&store, 4, |n| {
        if n == 1 {
            store.change(|_| -> Result<i64, SettingsError> {
                std::panic::resume_unwind(Box::new(()))
            })
        } else {
            patch(&store, r#"{"misc_settings_diff":{"a":1}}"#)
        }
    });
    for answer in answers {
        assert!(matches!(answer, Err(SettingsError::Shelf(_))));
    }
    assert_eq!(
        patch(&store, r#"{"misc_settings_diff":{"a":1}}"#).unwrap(),
        1
    );
}

#[test]
fn what_waits_while_others_are_stored_is_done_by_the_same_thread() {
    let store = Arc::new(store());
    let (give, taken) = std::sync::mpsc::channel();
    let change = |n: i64, give: std::sync::mpsc::Sender<_>| {
        let body = Json::parse(format!(r#"{{"misc_settings_diff":{{"m":{n}}}}}"#).as_bytes());
        let call = move |desk: &mut Desk<'_>| {
            desk.patch(Some(&body.unwrap()))?;
            desk.revision()
        };
        let answer = move |answer: Result<i64, SettingsError>| {
            give.send((n, answer.ok(), thread::current().id())).unwrap();
        };
        store.submit(Who::server(), call, answer).unwrap()
    };
    assert!(change(1, give.clone()), "nobody leads yet");
    assert!(!change(2, give.clone()), "the first one does");
    store.lead();
    let answers: Vec<_> = taken.try_iter().collect();
    let here = thread::current().id();
    assert_eq!(answers, [(1, Some(1), here), (2, Some(2), here)]);
    assert!(change(3, give), "the lead is free again");
    store.lead();
    assert_eq!(taken.try_recv().unwrap().1, Some(3));
}

#[test]
fn what_is_open_is_what_is_stored() {
    let store = store();
    let diffs = [
        r#"{"agent_settings_diff":{"llm":{"api_key":"sk-one-1234","timeout":30},"mcp_config":{"s":{"command":"x","env":{"A":"v"}}}}}"#,
        r#"{"agent_settings_diff":{"agent_kind":"acp"}}"#,
        r#"{"conversation_settings_diff":{"max_iterations":7},"misc_settings_diff":{"a":{"b":null,"c":[1]}}}"#,
        r#"{"agent_settings_diff":{"agent_kind":"openhands","llm":{"api_key":"**********"}},"active_profile":null}"#,
        r#"{"misc_settings_diff":{"a":{"c":null}}}"#,
    ];
    for diff in diffs {
        patch(&store, diff).unwrap();
        let open = lock(&store.turn).as_ref().map(Settings::to_record).unwrap();
        let read = store.read(|desk| Ok(desk.settings()?.to_record())).unwrap();
        assert!(open.expose() == read.expose(), "{diff}");
    }
    // A change past the store is seen by the next patch.
    store.past(|| {
        let spaces = Spaces::new().unwrap();
        store
            .vault()
            .delete(
                &spaces.settings,
                &spaces.name,
                strongroom_vault::Expect::Any,
            )
            .unwrap();
    });
    assert_eq!(
        patch(&store, r#"{"misc_settings_diff":{"z":1}}"#).unwrap(),
        1
    );
}

/// `WHO OPERATION NAMESPACE/NAME` of each entry of the audit trail, the oldest first.
fn told(store: &Store) -> Vec<String> {
    let page = store
        .vault()
        .accesses(&Filter::default(), Order::OldestFirst, None, 100)
        .unwrap();
    let told = page.entries.iter().map(|one| {
        let (space, name) = (one.namespace.as_ref().unwrap(), one.name.as_ref().unwrap());
        format!("{} {} {space}/{name}", one.who.name(), one.operation)
    });
    told.collect()
}

#[test]
fn each_caller_is_in_the_audit_trail_with_what_it_changed() {
    let store = store();
    let body = Json::parse(br#"{"llm":{"model":"m"}}"#).unwrap();
    let save = move |desk: &mut Desk<'_>| desk.save_llm_profile("fast", Some(&body)).map(drop);
    store.change_by(Who::key("1"), save).unwrap();
    let gone = |desk: &mut Desk<'_>| desk.delete_llm_profile("fast").map(drop);
    store.change_by(Who::key("2"), gone).unwrap();
    // Whoever changes nothing has no part in it.
    let _ = store.change_by(Who::key("3"), gone);
    let expected = [
        "key:1 write llm-profiles/fast",
        "key:2 delete llm-profiles/fast",
    ];
    assert_eq!(told(&store), expected);
}

#[test]
fn callers_whose_changes_are_one_commit_have_an_entry_each() {
    let store = store();
    let stored = at_once(&store, 8, |n| {
        // Every fourth is refused, every fourth leaves the settings alone.
        let limit = if n % 4 == 1 { 0 } else { 100 };
        let body = format!(r#"{{"conversation_settings_diff":{{"max_iterations":{limit}}}}}"#);
        let body = Json::parse(body.as_bytes()).unwrap();
        let profile = Json::parse(br#"{"llm":{"model":"m"}}"#).unwrap();
        store.change_by(Who::key(&n.to_string()), move |desk| {
            if n % 4 == 3 {
                return desk.save_llm_profile("fast", Some(&profile)).map(drop);
            }
            desk.patch(Some(&body)).map(drop)
        })
    });
    assert_eq!(store.vault().revision(), 1, "all in one commit");
    assert_eq!(stored.iter().filter(|stored| stored.is_ok()).count(), 6);
    let mut told = told(&store);
    told.sort_unstable();
    let expected = [
        "key:0 write settings/settings",
        "key:2 write settings/settings",
        "key:3 write llm-profiles/fast",
        "key:4 write settings/settings",
        "key:6 write settings/settings",
        "key:7 write llm-profiles/fast",
    ];
    assert_eq!(told, expected);
}

#[test]
fn reading_the_credentials_is_in_the_audit_trail() {
    let store = store();
    let key = r#"{"agent_settings_diff":{"llm":{"api_key":"sk-of-the-settings"}}}"#;
    let nothing = store.credentials(&Who::owner()).unwrap();
    assert!(nothing.is_empty() && told(&store).is_empty());
    patch(&store, key).unwrap();
    assert_eq!(store.credentials(&Who::owner()).unwrap().len(), 1);
    let expected = [
        "server write settings/settings",
        "owner read settings/settings",
    ];
    assert_eq!(told(&store), expected);
}
