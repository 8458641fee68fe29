//! Pages and counts against a plain walk over all events.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::conversation::event::{Body, Role};
use crate::conversation::journal::Journal;
use crate::conversation::journal::tests::{journal, says, vault};
use crate::limits::PAGE_SCAN_EVENTS_MAX;

fn parsed(answer: &[u8]) -> (Vec<Value>, Option<String>) {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let items = answer["items"].as_array().unwrap().clone();
    (items, answer["next_page_id"].as_str().map(str::to_owned))
}

/// All pages of a query, by the ids that they name.
fn all(journal: &Journal, mut query: Query) -> (Vec<Value>, usize) {
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let (items, next) = parsed(&journal.events().page(&query).unwrap());
        assert!(items.len() <= query.limit);
        all.extend(items);
        pages += 1;
        match next {
            Some(next) => query.page_id = Some(next),
            None => return (all, pages),
        }
    }
}

fn filled(kinds: &[u8]) -> std::sync::Arc<Journal> {
    let journal = journal(&vault());
    let body = |kind: u8| match kind {
        0 => (Source::User, Body::Pause),
        1 => (Source::User, says(Role::User, "Größe of X")),
        2 => (Source::Agent, says(Role::Assistant, "nothing")),
        _ => (Source::Environment, Body::state("tags", &"größe")),
    };
    let add = |draft: &mut crate::conversation::Draft<'_>| {
        for kind in kinds {
            let (source, body) = body(*kind);
            draft.push(source, body);
        }
    };
    journal.commit(add).unwrap();
    journal
}

fn any_filter()
-> impl Strategy<Value = (Option<&'static str>, Option<Source>, Option<&'static str>)> {
    let kinds = [
        "PauseEvent",
        "openhands.sdk.event.llm_convertible.message.MessageEvent",
        "ConversationStateUpdateEvent",
        "Event",
    ];
    let sources = [Source::User, Source::Agent, Source::Environment];
    (
        proptest::option::of(proptest::sample::select(kinds.to_vec())),
        proptest::option::of(proptest::sample::select(sources.to_vec())),
        proptest::option::of(proptest::sample::select(vec![
            "GRÖSSE", "gröSSe", "größe", "GRÖẞE", "x", "",
        ])),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn pages_give_what_a_walk_gives(
        kinds in proptest::collection::vec(0..4_u8, 0..30),
        (kind, source, body) in any_filter(),
        limit in 1..9_usize,
        down: bool,
        (from, before) in (proptest::option::of(0..32_usize), proptest::option::of(0..32_usize)),
    ) {
        let journal = filled(&kinds);
        let events = journal.events().read(0..100).unwrap();
        let time = |place: usize| events.get(place).map(|event| event.timestamp);
        let filter = Filter {
            kind: kind.map(str::to_owned),
            source,
            body: body.map(str::to_owned),
            from: from.and_then(time),
            before: before.and_then(time),
        };
        let mut expected: Vec<Value> = events
            .iter()
            .filter(|event| {
                kind.is_none_or(|kind| kind.rsplit('.').next() == Some(event.body.kind()))
                    && source.is_none_or(|source| event.source == source)
                    && filter.from.is_none_or(|from| event.timestamp >= from)
                    && filter.before.is_none_or(|before| event.timestamp < before)
                    && body.is_none_or(|body| match &event.body {
                        Body::Message(it) => it.llm_message.content.iter().any(|part| match part {
                            crate::tool::Content::Text { text, .. } => {
                                text.to_lowercase().contains(&body.to_lowercase())
                            }
                            crate::tool::Content::Image { .. } => false,
                        }),
                        _ => false,
                    })
            })
            .map(|event| serde_json::from_slice(&event.to_stored()).unwrap())
            .collect();
        if down {
            expected.reverse();
        }
        prop_assert_eq!(journal.events().count(&filter).unwrap(), expected.len() as u64);
        let order = if down { Order::Descending } else { Order::Ascending };
        let (items, pages) = all(&journal, Query { filter, order, page_id: None, limit });
        prop_assert_eq!(pages, expected.len().div_ceil(limit).max(1));
        prop_assert_eq!(items, expected);
    }
}

#[test]
fn an_id_that_is_not_there_means_from_the_beginning() {
    let journal = filled(&[0, 1, 2]);
    let query = |page_id: &str| Query {
        page_id: Some(page_id.to_owned()),
        limit: 100,
        ..Query::default()
    };
    let events = journal.events();
    let ids: Vec<_> = events.read(0..3).unwrap().iter().map(|it| it.id).collect();
    for other in [
        "x".to_owned(),
        "00000001-0000-4000-8000-000000000000".to_owned(),
        "00000fff-0000-4000-8000-000000000000".to_owned(),
    ] {
        let (items, _) = parsed(&events.page(&query(&other)).unwrap());
        assert_eq!(items.len(), 3, "{other}");
    }
    let (items, _) = parsed(&events.page(&query(&ids[1].to_string())).unwrap());
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["id"], ids[1].to_string());
}

#[test]
fn one_and_many_come_with_nulls() {
    let journal = filled(&[0, 1]);
    let events = journal.events();
    let ids: Vec<_> = events
        .read(0..2)
        .unwrap()
        .iter()
        .map(|it| it.id.to_string())
        .collect();
    let one: Value = serde_json::from_slice(&events.one(&ids[1]).unwrap()).unwrap();
    assert_eq!(one["sender"], Value::Null);
    assert!(one.as_object().unwrap().contains_key("sender"));
    assert!(matches!(events.one("x"), Err(Error::UnknownEvent)));
    let asked = [ids[1].as_str(), "x", ids[0].as_str()];
    let many: Value = serde_json::from_slice(&events.many(asked).unwrap()).unwrap();
    assert_eq!(many[0], one);
    assert_eq!(many[1], Value::Null);
    assert_eq!(many[2]["id"], ids[0]);
    assert_eq!(events.many([]).unwrap(), b"[]");
}

#[test]
fn pages_of_large_events_are_cut() {
    let journal = journal(&vault());
    let large = "x".repeat(PAGE_EVENTS_BYTES_MAX / 3);
    for _ in 0..4 {
        journal
            .commit(|draft| draft.push(Source::User, says(Role::User, &large)))
            .unwrap();
    }
    journal
        .commit(|draft| {
            draft.push(
                Source::User,
                says(Role::User, &"y".repeat(PAGE_EVENTS_BYTES_MAX + 1)),
            )
        })
        .unwrap();
    let query = Query {
        limit: 100,
        ..Query::default()
    };
    let (items, pages) = all(&journal, query);
    assert_eq!((items.len(), pages), (5, 3));
    let events = journal.events();
    let counts = [0, 2, 4].map(|from| events.frames(from..5).unwrap().len());
    assert_eq!(counts, [2, 2, 1]);
    let ids: Vec<_> = items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert!(matches!(events.many(ids), Err(Error::TooLarge { .. })));
}

#[test]
fn a_filter_that_finds_nothing_rests_and_says_where() {
    let count = PAGE_SCAN_EVENTS_MAX + 10;
    let journal = filled(&vec![0; count as usize]);
    journal
        .commit(|draft| draft.push(Source::Agent, says(Role::Assistant, "x")))
        .unwrap();
    let filter = Filter {
        kind: Some("MessageEvent".to_owned()),
        ..Filter::default()
    };
    let query = Query {
        filter,
        limit: 5,
        ..Query::default()
    };
    let (items, next) = parsed(&journal.events().page(&query).unwrap());
    assert!(items.is_empty() && next.is_some());
    let (items, pages) = all(&journal, query);
    assert_eq!((items.len(), pages), (1, 2));
}
