//! Named secrets beside a server in the same process, all on one thread.

use std::time::Duration;

use strongroom_agent::secrets::{Secrets, Setting};
use strongroom_agent::source::{Holder, Source};
use strongroom_http::{Config, Server};
use strongroom_vault::{Name, Namespace, Options, Plaintext, Put, Vault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::program::{KEY, PATIENCE};

const LOOKUPS: usize = 500;

#[tokio::test]
async fn five_hundred_lookups_of_our_own_with_a_stuck_one_leave_the_server_answering() {
    let vault = Vault::in_memory(&Options::default()).unwrap();
    let config = Config {
        addresses: vec!["127.0.0.1:0".parse().unwrap()],
        keys: vec![Plaintext::copy_of(KEY.as_bytes())],
        ..Config::default()
    };
    let server = Server::bind(config, vault.clone()).await.unwrap();
    let address = server.local_addr();
    let resolver = server.state().gate.resolver().await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = server.run(async { drop(stopped.await) });

    let secrets =
        Secrets::open(&Namespace::new("conversation/1").unwrap(), "1", &resolver).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck_url = format!("http://{}/v", silent.local_addr().unwrap());
    let lookup = |name: String, url: String, key: bool| {
        let key = key.then(|| {
            (
                "X-Session-API-Key".to_owned(),
                Plaintext::copy_of(KEY.as_bytes()),
            )
        });
        let source = Source::Lookup {
            url,
            headers: key.into_iter().collect(),
        };
        Setting {
            name,
            description: None,
            source,
        }
    };
    let namespace = Namespace::new("secrets").unwrap();
    let mut settings = vec![lookup("STUCK".into(), stuck_url, false)];
    for number in 0..LOOKUPS {
        let put = Put::of(Plaintext::copy_of(
            format!("value-number-{number}").as_bytes(),
        ));
        vault
            .put(&namespace, &Name::new(&format!("T{number}")).unwrap(), put)
            .unwrap();
        let url = format!("http://{address}/api/settings/secrets/T{number}");
        settings.push(lookup(format!("S{number}"), url, true));
    }
    secrets.set(settings, &Holder::Local).unwrap();

    let asked = async {
        let stuck = tokio::spawn({
            let secrets = secrets.clone();
            async move { secrets.value("STUCK", "terminal").await }
        });
        let (_kept, _) = silent.accept().await.unwrap();
        let mut wire = TcpStream::connect(address).await.unwrap();
        let names: Vec<String> = (0..LOOKUPS).map(|number| format!("S{number}")).collect();
        for names in names.chunks(LOOKUPS / 10) {
            for (name, value) in names.iter().zip(secrets.values(names, "terminal").await) {
                let expected = format!("value-number-{}", &name[1..]);
                assert!(
                    value.unwrap().unwrap().expose() == expected.as_bytes(),
                    "{name}"
                );
            }
            wire.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await
                .unwrap();
            let mut answer = [0; 15];
            wire.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            // The rest of the answer.
            let mut rest = Vec::new();
            while !rest.ends_with(b"{\"status\":\"ok\"}") {
                rest.push(wire.read_u8().await.unwrap());
            }
        }
        assert!(!stuck.is_finished());
        stuck.abort();
        stop.send(()).unwrap();
    };
    let both = async { tokio::join!(served, asked) };
    let longest: Duration = PATIENCE;
    tokio::time::timeout(longest, both)
        .await
        .expect("nobody waits for the stuck one");
}
