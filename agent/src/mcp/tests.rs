use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::RootCertStore;
use strongroom_vault::{Namespace, Options, Vault};

use super::*;
use crate::lender::Lender;
use crate::lookup::{self, Lookup};
use crate::net::Network;
use crate::secrets::Resolver;
use crate::source::testing::Nobody;
use crate::tool::testing;

type Told = Arc<Mutex<Vec<String>>>;

fn ground() -> (Ground, Told) {
    let vault = Vault::in_memory(&Options::default()).unwrap();
    let network = Network::trusting(RootCertStore::empty()).unwrap();
    let resolver = Arc::new(Resolver {
        lender: Lender::new(&vault).unwrap(),
        lookup: Lookup::new(lookup::Options::default(), network).unwrap(),
        rights: Box::new(Nobody),
    });
    let place = Namespace::new("secrets.mcp").unwrap();
    let told = Told::default();
    let (warned, said) = (Arc::clone(&told), Arc::clone(&told));
    let ground = Ground {
        secrets: Secrets::open(&place, "c", &resolver).unwrap(),
        setup: testing::setup(Path::new("/")),
        directory: std::env::temp_dir(),
        warn: Arc::new(move |text| warned.lock().unwrap().push(text.to_owned())),
        chatter: Arc::new(move |text| said.lock().unwrap().push(text.to_owned())),
    };
    (ground, told)
}

fn servers(config: &str) -> Servers {
    let config = Json::parse(config.as_bytes()).unwrap();
    Servers::read(Some(&config), None)
}

/// The clock goes on only when nothing else does.
#[tokio::test(start_paused = true)]
async fn servers_that_never_answer_are_given_up_together_and_not_at_once_tried_again() {
    let config = r#"{"a":{"command":"sh","args":["-c","cat >/dev/null"]},"b":{"command":"sh","args":["-c","cat >/dev/null"]}}"#;
    let (servers, (ground, told)) = (servers(config), ground());
    let begun = tokio::time::Instant::now();
    servers.ready(&ground, true, &[]).await;
    assert_eq!(begun.elapsed().as_secs(), MCP_START_SECONDS_MAX);
    let warnings = || {
        let told = told.lock().unwrap();
        let warned = told.iter().filter(|text| text.contains("was not started"));
        warned.cloned().collect::<Vec<_>>()
    };
    let found = warnings();
    assert_eq!(found.len(), 2);
    assert!(
        found[0].contains("it did not answer within 30 seconds"),
        "{found:?}"
    );
    servers.ready(&ground, true, &[]).await;
    servers.ready(&ground, false, &[]).await;
    assert_eq!(warnings().len(), 2);
    assert!(servers.names().is_empty());
}

/// A server in a line of shell: greets, then tells of one tool, whatever it is asked.
const LINE: &str = r#"read x; echo '{"id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}}';
    read x; read x; echo '{"id":2,"result":{"tools":[{"name":"look"}]}}'; cat >/dev/null"#;

#[tokio::test]
async fn a_start_that_nobody_waited_for_is_not_lost() {
    let program = serde_json::json!({"a": {"command": "sh", "args": ["-c", LINE]}});
    let (servers, (ground, told)) = (servers(&program.to_string()), ground());
    // As if the run was interrupted between the start and the look.
    assert!(servers.all[0].ready(&ground, true).await);
    assert!(servers.names().is_empty());
    servers.ready(&ground, false, &[]).await;
    assert_eq!(servers.names(), ["look"], "{told:?}");
    assert!(!servers.all[0].ready(&ground, true).await);
    servers.close().await;
}

#[tokio::test]
async fn a_value_that_can_not_be_masked_is_not_given_away() {
    let long = "x".repeat(crate::limits::MASKED_VALUE_BYTES_MAX + 1);
    let servers = servers(&format!(
        r#"{{"a":{{"command":"true","env":{{"LONG":"{long}"}}}},"b":{{}}}}"#
    ));
    let (ground, told) = ground();
    let refused = servers.learn(ground.secrets.redactor());
    assert_eq!(refused.len(), 2, "{refused:?}");
    servers.ready(&ground, true, &[]).await;
    let told = told.lock().unwrap();
    assert!(
        told[0].contains("can't be masked") && !told[0].contains("xxx"),
        "{told:?}"
    );
}

#[test]
fn a_token_is_known_without_the_word_before_it() {
    let servers = servers(
        r#"{"a":{"url":"http://h/","headers":{"Authorization":"bEARER token-behind-a-word-9","X":"other-value-22"}}}"#,
    );
    let redactor = Redactor::new().unwrap();
    assert!(servers.learn(&redactor).is_empty());
    let masked = redactor.text("token-behind-a-word-9 other-value-22 bearer");
    assert_eq!(*masked, "<secret-hidden> <secret-hidden> bearer");
}
