//! Clients of every kind: large, many, hasty, old, broken, slow, silent; and how the server ends with them
//! connected.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tempfile::tempdir;

use crate::program::{KEY, Server, Setup};
use crate::wire::{SECRETS, Wire, request};

#[test]
fn too_large_is_413_before_it_is_read_and_a_value_above_1_mib_is_422() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let announced = request(
        "PUT",
        SECRETS,
        &[("x-session-api-key", KEY), ("content-length", "2097153")],
        None,
    );
    assert_eq!(Wire::to(server.address).ask(&announced).status, 413);

    // Without a length, the answer comes when the limit is passed: nothing more is sent.
    let chunked = request(
        "PUT",
        SECRETS,
        &[("x-session-api-key", KEY), ("transfer-encoding", "chunked")],
        None,
    );
    let mut wire = Wire::to(server.address);
    wire.send(&chunked).unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..32 {
        wire.send(&chunk).unwrap();
    }
    assert_eq!(wire.ask(&chunk).status, 413);

    let mut wire = Wire::to(server.address);
    let mib = "x".repeat(1024 * 1024);
    wire.put("LARGE", &mib);
    assert_eq!(
        wire.try_put("LARGE", &(mib.clone() + "x"), None)
            .unwrap()
            .status,
        422
    );
    assert_eq!(wire.value("LARGE"), Some(mib));

    let head = format!(
        "GET /alive HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_eq!(Wire::to(server.address).ask(head.as_bytes()).status, 431);
    server.stop();
}

#[test]
fn ten_connections_work_side_by_side() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    thread::scope(|scope| {
        for number in 0..10 {
            let address = server.address;
            scope.spawn(move || {
                let mut wire = Wire::to(address);
                for round in 0..20 {
                    let (name, value) = (
                        format!("N{number}_{}", round % 3),
                        format!("{number}/{round}"),
                    );
                    wire.put(&name, &value);
                    assert_eq!(wire.value(&name), Some(value));
                }
            });
        }
    });
    assert_eq!(Wire::to(server.address).names().len(), 30);
    server.stop();
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    wire.put("A", "one");
    let key = [("x-session-api-key", KEY)];
    let get = |name| request("GET", &format!("{SECRETS}/{name}"), &key, None);
    let put = request("PUT", SECRETS, &key, Some(r#"{"name":"A","value":"two"}"#));
    wire.send(&[get("A"), get("ABSENT"), put, get("A")].concat())
        .unwrap();
    let answers: Vec<_> = (0..4).map(|_| wire.answer().unwrap()).collect();
    let seen: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [200, 404, 200, 200]);
    assert_eq!(
        (answers[0].text(), answers[3].text()),
        ("one".into(), "two".into())
    );
    server.stop();
}

#[test]
fn http_1_0_is_answered_and_the_connection_closed() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    let get = format!("GET {SECRETS} HTTP/1.0\r\nx-session-api-key: {KEY}\r\n\r\n");
    let answer = wire.ask(get.as_bytes());
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"secrets": []}))
    );
    assert!(wire.closed());
    server.stop();
}

#[test]
fn what_is_no_http_is_refused_and_harms_nobody() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let smuggled = format!(
        "PUT {SECRETS} HTTP/1.1\r\nhost: localhost\r\nx-session-api-key: {KEY}\r\ncontent-length: 4\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET {SECRETS} HTTP/1.1\r\nhost: localhost\r\n\r\n"
    );
    let junk: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no TLS here\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /alive HTTP/1.1\r\n\r\n",
        b"GET /alive HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"PUT /api/settings/secrets HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"PUT /api/settings/secrets HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    ];
    for bytes in junk {
        let answer = Wire::to(server.address).ask(bytes);
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(bytes));
    }
    // Whatever the first answer is, what lies behind an ambiguous length is no second request.
    let mut wire = Wire::to(server.address);
    assert!(wire.ask(smuggled.as_bytes()).status >= 400);
    assert!(wire.closed());
    Wire::to(server.address).put("TOKEN", "value");
    server.stop();
}

#[test]
fn clients_that_are_slow_or_silent_delay_nobody_and_are_dropped() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let started = Instant::now();
    let beginnings: [&[u8]; 3] = [
        b"",
        b"GET /alive HT",
        b"GET /alive HTTP/1.1\r\nhost: localhost\r\nx: ",
    ];
    let mut slow: Vec<_> = (0..60)
        .map(|number| {
            let mut wire = Wire::to(server.address);
            wire.send(beginnings[number % 3]).unwrap();
            wire
        })
        .collect();
    let body = request(
        "PUT",
        SECRETS,
        &[("x-session-api-key", KEY), ("content-length", "1000")],
        None,
    );
    let mut halfway: Vec<_> = (0..20).map(|_| Wire::to(server.address)).collect();
    for wire in &mut halfway {
        wire.send(&body).unwrap();
        wire.send(b"{\"name\":").unwrap();
    }
    let mut wire = Wire::to(server.address);
    for round in 0..20 {
        let asked = Instant::now();
        assert_eq!(wire.ask(&request("GET", "/health", &[], None)).status, 200);
        wire.put("TOKEN", &round.to_string());
        let took = asked.elapsed();
        assert!(
            took < Duration::from_secs(5),
            "{took:?} although only others are slow"
        );
    }
    // Those that trickle within their headers are dropped all the same, 10 s after they came.
    for wire in &mut slow {
        let _ = wire.send(b"y");
    }
    for wire in &mut slow {
        let ended = wire.answer();
        assert!(ended.is_err() || ended.is_ok_and(|answer| answer.status == 408));
    }
    let took = started.elapsed();
    assert!((10..40).contains(&took.as_secs()), "dropped after {took:?}");
    drop(halfway);
    server.stop();
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_closes_the_rest_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempdir().unwrap();
        let server = Setup::keyed(dir.path()).start();
        let mut idle = Wire::to(server.address);
        idle.put("EARLIER", "value");
        let mut silent = Wire::to(server.address);
        let mut busy = Wire::to(server.address);
        let body = r#"{"name":"LAST","value":"in flight"}"#;
        let length = body.len().to_string();
        let headers = [
            ("x-session-api-key", KEY),
            ("content-type", "application/json"),
            ("content-length", &*length),
            ("expect", "100-continue"),
        ];
        assert_eq!(
            busy.ask(&request("PUT", SECRETS, &headers, None)).status,
            100
        );

        let Server { address, program } = server;
        program.signal(signal);
        assert!(idle.closed() && silent.closed());
        assert!(
            Wire::try_to(address).is_err(),
            "nobody can connect any more"
        );
        let answer = busy.ask(body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let ended = program.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.said);

        let server = Setup::keyed(dir.path()).start();
        assert_eq!(
            Wire::to(server.address).value("LAST").as_deref(),
            Some("in flight")
        );
        server.stop();
    }
}

#[test]
fn a_client_that_never_finishes_holds_the_end_up_for_some_seconds_only() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut stuck = Wire::to(server.address);
    let headers = [
        ("x-session-api-key", KEY),
        ("content-length", "10"),
        ("expect", "100-continue"),
    ];
    assert_eq!(
        stuck.ask(&request("PUT", SECRETS, &headers, None)).status,
        100
    );
    let asked = Instant::now();
    server.stop();
    let took = asked.elapsed();
    assert!((4..20).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn an_idle_server_ends_at_once() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut idle: Vec<_> = (0..10).map(|_| Wire::to(server.address)).collect();
    for wire in &mut idle {
        assert_eq!(wire.call("GET", SECRETS, None).status, 200);
    }
    let asked = Instant::now();
    server.stop();
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
}
