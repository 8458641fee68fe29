//! Settings over HTTP: revisions, and import and export while the server holds the vault.

#![allow(clippy::unwrap_used, reason = "the whole program is a test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use strongroom_agent::fernet;
use strongroom_http::client::Client;
use strongroom_http::transfer::Transfer;
use strongroom_http::{Config, Server, socket};
use strongroom_vault::{Key, Options, Plaintext, Unlock, Vault};
use tokio::sync::oneshot;

/// Runs `test` against a server with its vault in a directory.
fn with_server(test: impl FnOnce(SocketAddr, &Path) + Send + 'static) {
    let dir = tempfile::tempdir().unwrap();
    let unlock = Unlock {
        given: Some(Key::Passphrase(Plaintext::copy_of(
            b"a passphrase that only this test has",
        ))),
        previous: Vec::new(),
    };
    let (vault, _) = Vault::open(dir.path(), &unlock, &Options::default()).unwrap();
    let config = Config {
        keys: vec![Plaintext::copy_of(b"k")],
        tokens: fernet::Keys::new(Some("token key"), []),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let server = Server::bind(config, vault).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let path = dir.path().to_owned();
        let tested = tokio::task::spawn_blocking(move || {
            test(address, &path);
            drop(stop);
        });
        server.run(async { drop(stopped.await) }).await;
        tested.await.unwrap();
    });
}

/// Asks for a transfer over the owner's socket, as the command line does; gives what to tell the person.
fn ask(data_dir: &Path, transfer: &Transfer, dir: &Path) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = socket::connect(data_dir).await.unwrap();
        let mut client = Client::over(stream).await.unwrap();
        let body = transfer.request(dir, None, &[]);
        let method = hyper::Method::POST;
        let answered = client.call(method, "/local/transfer", Some(body)).await;
        let answered = answered.unwrap();
        if !answered.status.is_success() {
            return Err(answered.detail());
        }
        let answer = answered.json().unwrap();
        Ok(answer.get("text").unwrap().as_text().unwrap().to_owned())
    })
}

/// Sends one request; gives status, headers and body.
fn send(address: SocketAddr, line: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Session-API-Key: k\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn etag(head: &str) -> String {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    line.to_owned()
}

#[test]
fn a_change_with_an_old_revision_is_refused() {
    with_server(|address, _| {
        let (_, head, _) = send(address, "GET /api/settings", "", "");
        assert_eq!(etag(&head), "\"0\"");
        let change = r#"{"misc_settings_diff":{"a":1}}"#;
        let (status, head, _) = send(
            address,
            "PATCH /api/settings",
            "If-Match: \"0\"\r\n",
            change,
        );
        assert_eq!((status, etag(&head).as_str()), (200, "\"1\""));
        let (status, _, body) = send(
            address,
            "PATCH /api/settings",
            "If-Match: \"0\"\r\n",
            change,
        );
        assert_eq!(status, 412);
        assert!(body.contains("have changed"), "{body}");
        let (status, head, _) = send(address, "PATCH /api/settings", "If-Match: *\r\n", change);
        assert_eq!((status, etag(&head).as_str()), (200, "\"2\""));
    });
}

#[test]
fn answers_with_secrets_are_not_for_caches() {
    with_server(|address, _| {
        let change = r#"{"agent_settings_diff":{"llm":{"api_key":"s3cret"}}}"#;
        let (_, _, body) = send(address, "PATCH /api/settings", "", change);
        assert!(!body.contains("s3cret"));
        let (_, head, body) = send(address, "GET /api/settings", "", "");
        assert!(!body.contains("s3cret") && !head.contains("no-store"));
        let (_, head, body) = send(
            address,
            "GET /api/settings",
            "X-Expose-Secrets: plaintext\r\n",
            "",
        );
        assert!(body.contains("s3cret") && head.contains("cache-control: no-store"));
        let (_, head, body) = send(
            address,
            "GET /api/settings",
            "X-Expose-Secrets: encrypted\r\n",
            "",
        );
        assert!(
            body.contains("gAAAAA")
                && !body.contains("s3cret")
                && head.contains("cache-control: no-store")
        );
    });
}

#[test]
fn import_and_export_go_through_the_server_that_holds_the_vault() {
    with_server(|address, data_dir| {
        let outside = tempfile::tempdir().unwrap();
        let (from, to) = (outside.path().join("from"), outside.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        let settings = r#"{"agent_settings":{"llm":{"model":"m","api_key":"s3cret"}}}"#;
        std::fs::write(from.join("settings.json"), settings).unwrap();
        std::fs::write(
            from.join("secrets.json"),
            r#"{"custom_secrets":{"A":"v","NONE":null}}"#,
        )
        .unwrap();

        let import = |replace| {
            let transfer = Transfer::Import { replace };
            ask(data_dir, &transfer, &from)
        };
        assert!(import(false).unwrap().contains("Secrets: A, NONE"));
        assert!(import(false).unwrap_err().contains("--replace"));
        assert!(import(true).is_ok());
        let (_, _, body) = send(
            address,
            "GET /api/settings",
            "X-Expose-Secrets: plaintext\r\n",
            "",
        );
        assert!(body.contains("s3cret"));
        let (status, _, body) = send(address, "GET /api/settings/secrets/A", "", "");
        assert_eq!((status, body.as_str()), (200, "v"));
        let (status, ..) = send(address, "GET /api/settings/secrets/NONE", "", "");
        assert_eq!(status, 404);

        let export = || ask(data_dir, &Transfer::Export, &to);
        assert!(export().unwrap().contains("2 secrets"));
        assert!(export().unwrap_err().contains("not empty"));
        let written = std::fs::read_to_string(to.join("settings.json")).unwrap();
        assert!(written.contains("gAAAAA") && !written.contains("s3cret"));
    });
}
