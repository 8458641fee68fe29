//! Which URLs are our own, and what a foreign server can and cannot do to us.

use std::future::Future;

use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

fn lookup(options: Options) -> Lookup {
    let network = Network::trusting(RootCertStore::empty()).unwrap();
    Lookup::new(options, network).unwrap()
}

fn ours(listener: &str) -> Lookup {
    lookup(Options {
        listeners: vec![listener.parse().unwrap()],
        urls: vec![
            "http://strongroom:9000/behind/".into(),
            "https://public.example".into(),
        ],
        deny_private: false,
    })
}

/// What a URL is: the name of a secret of ours, `other` for another route of ours, `foreign`, or `wrong`.
fn check(lookup: &Lookup, url: &str, expected: &str) {
    let found = match lookup.target("S", url) {
        Ok(Target::Own(name)) => name.as_str().to_owned(),
        Ok(Target::Foreign) => "foreign".to_owned(),
        Err(Error::OtherRoute { .. }) => "other".to_owned(),
        Err(Error::Lookup { .. }) => "wrong".to_owned(),
        Err(error) => panic!("{url}: {error}"),
    };
    assert_eq!(found, expected, "{url}");
}

#[test]
fn urls_of_our_own_are_told_from_others() {
    let lookup = ours("127.0.0.1:8000");
    for base in [
        "",
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://LOCALHOST.:8000",
        "https://127.0.0.2:8000",
        "http://[::1]:8000",
        "http://[::ffff:127.0.0.1]:8000",
        "http://0.0.0.0:8000",
        "http://strongroom:9000",
        "http://strongroom:9000/behind",
        "/behind",
        "https://public.example",
        "https://public.example:443",
    ] {
        check(
            &lookup,
            &format!("{base}/api/settings/secrets/TOKEN"),
            "TOKEN",
        );
        check(
            &lookup,
            &format!("{base}/api/settings/secrets/%54OKEN?x=y#z"),
            "TOKEN",
        );
        for path in [
            "",
            "/",
            "/api",
            "/api/settings",
            "/api/settings/secrets",
            "/api/settings/secrets/",
        ] {
            let url = format!("{base}{path}");
            if !url.is_empty() {
                check(&lookup, &url, "other");
            }
        }
        for path in ["a/b", "a%2Fb", "%", "%zz", "%00", "%ff"] {
            check(
                &lookup,
                &format!("{base}/api/settings/secrets/{path}"),
                "other",
            );
        }
        check(
            &lookup,
            &format!("{base}/api/settings/../settings/secrets/TOKEN"),
            "other",
        );
    }
    for url in [
        "http://127.0.0.1:8001/api/settings/secrets/TOKEN",
        "http://localhost/api/settings/secrets/TOKEN",
        "http://127.0.0.1.example:8000/api/settings/secrets/TOKEN",
        "http://strongroom:8000/api/settings/secrets/TOKEN",
        "https://vault.example/v1/secret",
    ] {
        check(&lookup, url, "foreign");
    }
    for url in [
        "",
        "TOKEN",
        "//127.0.0.1:8000/x",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1:8000/x",
    ] {
        check(&lookup, url, "wrong");
    }
}

#[test]
fn a_server_that_listens_on_all_addresses_knows_them_and_one_on_another_does_not_claim_loopback() {
    check(
        &ours("0.0.0.0:8000"),
        "http://localhost:8000/api/settings/secrets/A",
        "A",
    );
    check(
        &ours("[::]:8000"),
        "http://127.0.0.1:8000/api/settings/secrets/A",
        "A",
    );
    check(
        &ours("192.0.2.7:8000"),
        "http://192.0.2.7:8000/api/settings/secrets/A",
        "A",
    );
    check(
        &ours("192.0.2.7:8000"),
        "http://localhost:8000/api/settings/secrets/A",
        "foreign",
    );
}

#[test]
fn a_url_of_ours_that_is_none_is_refused_at_start() {
    let options = Options {
        urls: vec!["strongroom:8000".into()],
        ..Options::default()
    };
    let network = Network::trusting(RootCertStore::empty()).unwrap();
    assert!(Lookup::new(options, network).is_err());
}

/// A server for one connection: `answer` gets what was sent and says what comes back.
async fn serve<S>(mut stream: S, answer: impl FnOnce(String) -> Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        asked.push(byte);
    }
    let answer = answer(String::from_utf8(asked).unwrap());
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Serves these answers, a connection each, and gives the requests.
fn answers(listener: TcpListener, answers: Vec<Vec<u8>>) -> impl Future<Output = Vec<String>> {
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, |request| {
                requests.push(request);
                answer
            })
            .await;
        }
        requests
    });
    async { served.await.unwrap() }
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn fetch(lookup: &Lookup, url: &str, headers: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
    let owned =
        |(name, value): &(&str, &str)| ((*name).to_owned(), Plaintext::copy_of(value.as_bytes()));
    let headers: Vec<_> = headers.iter().map(owned).collect();
    let value = lookup
        .fetch("S", &Address::parse(url).unwrap(), &headers)
        .await;
    value.map(|value| value.expose().to_vec())
}

fn plain() -> Lookup {
    lookup(Options::default())
}

#[tokio::test]
async fn the_body_is_the_value_as_it_is() {
    let (listener, url) = listener().await;
    let served = answers(listener, vec![ok(b"v\0alue\n\xff")]);
    let value = fetch(&plain(), &format!("{url}/x?y=z"), &[("X-Token", "t0k")])
        .await
        .unwrap();
    assert_eq!(value, b"v\0alue\n\xff");
    let request = &served.await[0];
    assert!(
        request.starts_with("GET /x?y=z HTTP/1.1\r\nX-Token: t0k\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("host: {}\r\n", &url["http://".len()..])),
        "{request}"
    );
    assert!(
        request.contains("accept-encoding: identity\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_value_that_is_not_announced_arrives_in_pieces() {
    let (listener, url) = listener().await;
    let long = vec![b'x'; 100_000];
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in long.chunks(7_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    drop(answers(listener, vec![chunked]));
    assert!(fetch(&plain(), &url, &[]).await.unwrap() == long);
}

#[tokio::test]
async fn what_is_no_value_is_an_error_without_its_words() {
    for (status, expected) in [
        ("404 Not Found", 404),
        ("500 Oops", 500),
        ("304 Not Modified", 304),
    ] {
        let (listener, url) = listener().await;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 6\r\n\r\ns3cret");
        drop(answers(listener, vec![answer.into_bytes()]));
        let error = fetch(&plain(), &url, &[]).await.unwrap_err();
        assert!(
            matches!(error, Error::Status { status, .. } if status == expected),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
    for broken in [
        "",
        "hello",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ns3cret",
    ] {
        let (listener, url) = listener().await;
        drop(answers(listener, vec![broken.as_bytes().to_vec()]));
        let error = fetch(&plain(), &url, &[]).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Fetch {
                    fault: Fault::Broken,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_value_has_a_bound_announced_or_not() {
    let (listener, url) = listener().await;
    let announced = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        LOOKUP_BYTES_MAX + 1
    );
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(endless.len() + LOOKUP_BYTES_MAX + 1, b'x');
    let exact = ok(&vec![b'x'; LOOKUP_BYTES_MAX]);
    let served = answers(listener, vec![announced.into_bytes(), endless, exact]);
    for _ in 0..2 {
        let error = fetch(&plain(), &url, &[]).await.unwrap_err();
        assert!(matches!(error, Error::TooLong { .. }), "{error}");
    }
    assert_eq!(
        fetch(&plain(), &url, &[]).await.unwrap().len(),
        LOOKUP_BYTES_MAX
    );
    served.await;
}

fn moved(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn headers_stay_with_their_server() {
    let (first, url) = listener().await;
    let (second, elsewhere) = listener().await;
    let redirects = vec![
        moved("/next"),
        ok(b"same"),
        moved(&elsewhere),
        moved(&elsewhere),
    ];
    let served = answers(first, redirects);
    let other = answers(second, vec![ok(b"other")]);
    let key = [("Authorization", "Bearer s3cret")];
    assert_eq!(fetch(&plain(), &url, &key).await.unwrap(), b"same");
    let error = fetch(&plain(), &url, &key).await.unwrap_err();
    assert!(
        error.to_string().contains("must not get its headers"),
        "{error}"
    );
    assert_eq!(fetch(&plain(), &url, &[]).await.unwrap(), b"other");
    let requests = served.await;
    assert!(requests[1].starts_with("GET /next ") && requests[1].contains("s3cret"));
    assert!(!other.await[0].contains("uthorization"));
}

#[tokio::test]
async fn redirects_end_and_do_not_lead_home_or_nowhere() {
    let (listener, url) = listener().await;
    let served = answers(listener, vec![moved("/again"); LOOKUP_REDIRECTS_MAX + 1]);
    let error = fetch(&plain(), &url, &[]).await.unwrap_err();
    assert!(error.to_string().contains("too often"), "{error}");
    served.await;
    let home = "127.0.0.1:8000";
    let cases = [
        (format!("http://{home}/health"), "to this server"),
        ("nowhere".into(), "to no address"),
    ];
    for (to, expected) in cases {
        let (listener, url) = self::listener().await;
        drop(answers(listener, vec![moved(&to)]));
        let error = fetch(&ours(home), &url, &[]).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn addresses_that_must_not_be_reached_are_not() {
    use crate::net::Forbidden;
    let forbidden = |error: Error| match error {
        Error::Fetch {
            fault: Fault::Forbidden(forbidden),
            ..
        } => forbidden,
        other => panic!("{other}"),
    };
    let error = fetch(&plain(), "http://169.254.169.254/latest/meta-data", &[])
        .await
        .unwrap_err();
    assert_eq!(forbidden(error), Forbidden::Metadata);
    let (listener, url) = listener().await;
    let closed = lookup(Options {
        deny_private: true,
        ..Options::default()
    });
    let error = fetch(&closed, &url, &[]).await.unwrap_err();
    assert_eq!(forbidden(error), Forbidden::Private);
    // A name is judged by what it stands for.
    let port = listener.local_addr().unwrap().port();
    let named = format!("http://localhost:{port}/");
    let error = fetch(&closed, &named, &[]).await.unwrap_err();
    assert_eq!(forbidden(error), Forbidden::Private);
    let own = lookup(Options {
        listeners: vec![listener.local_addr().unwrap()],
        ..Options::default()
    });
    let error = fetch(&own, &named, &[]).await.unwrap_err();
    assert_eq!(forbidden(error), Forbidden::Own);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let (listener, url) = listener().await;
    let silent = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    });
    let error = fetch(&plain(), &url, &[]).await.unwrap_err();
    let late = Fault::Connect(std::io::ErrorKind::TimedOut);
    assert!(
        matches!(error, Error::Fetch { fault, .. } if fault == late),
        "{error}"
    );
    silent.abort();
}

#[tokio::test]
async fn tls_takes_a_trusted_certificate_for_the_right_name() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, _) = listener().await;
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, |_| ok(b"over tls")).await;
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trusting = Lookup::new(Options::default(), Network::trusting(roots).unwrap()).unwrap();
    let named = format!("https://localhost:{port}/x");
    let other = format!("https://127.0.0.1:{port}/x");
    assert_eq!(
        fetch(&trusting, &named, &[("X-Key", "k")]).await.unwrap(),
        b"over tls"
    );
    for (lookup, url) in [(&trusting, &other), (&plain(), &named)] {
        let error = fetch(lookup, url, &[]).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Fetch {
                    fault: Fault::Untrusted,
                    ..
                }
            ),
            "{error}"
        );
    }
    server.abort();
}
