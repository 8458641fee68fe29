//! Sources as a conversation uses them.

use std::sync::Mutex;
use std::time::Duration;

use rustls::RootCertStore;
use strongroom_vault::{Options, Vault};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::lender::NAMESPACE;
use crate::lookup;
use crate::net::Network;
use crate::redact::MASK;
use crate::source::KeyId;

const KEY: &[u8] = b"session-key-5be1";
const VALUE: &str = "value-of-the-vault-8c44";

/// One session key, `first`, which may be rotated and lose its rights.
struct OneKey(Arc<Mutex<(Vec<u8>, bool)>>);

impl Rights for OneKey {
    fn holder(&self, key: &[u8]) -> Option<Holder> {
        (self.0.lock().unwrap().0 == key).then(first)
    }

    fn may_read(&self, holder: &Holder, name: &Name) -> bool {
        *holder == first() && self.0.lock().unwrap().1 && name.as_str() != "FORBIDDEN"
    }
}

fn first() -> Holder {
    Holder::Key(KeyId::new("first"))
}

struct Stage {
    vault: Vault,
    key: Arc<Mutex<(Vec<u8>, bool)>>,
    resolver: Arc<Resolver>,
    place: Namespace,
}

impl Stage {
    fn new() -> Self {
        let vault = Vault::in_memory(&Options::default()).unwrap();
        let key = Arc::new(Mutex::new((KEY.to_vec(), true)));
        let options = lookup::Options {
            listeners: vec!["127.0.0.1:8000".parse().unwrap()],
            ..lookup::Options::default()
        };
        let network = Network::trusting(RootCertStore::empty()).unwrap();
        let resolver = Arc::new(Resolver {
            lender: Lender::new(&vault).unwrap(),
            lookup: Lookup::new(options, network).unwrap(),
            rights: Box::new(OneKey(Arc::clone(&key))),
        });
        let place = Namespace::new("conversation/1").unwrap();
        Self {
            vault,
            key,
            resolver,
            place,
        }
    }

    fn secrets(&self) -> Secrets {
        Secrets::open(&self.place, "1", &self.resolver).unwrap()
    }

    fn put(&self, name: &str, value: &str) {
        let (namespace, name) = (Namespace::new(NAMESPACE).unwrap(), Name::new(name).unwrap());
        let put = Put::of(Plaintext::copy_of(value.as_bytes()));
        self.vault.put(&namespace, &name, put).unwrap();
    }

    fn delete(&self, name: &str) {
        let (namespace, name) = (Namespace::new(NAMESPACE).unwrap(), Name::new(name).unwrap());
        self.vault.delete(&namespace, &name, Expect::Any).unwrap();
    }
}

fn fixed(value: &str) -> Source {
    Source::Static(Some(Plaintext::copy_of(value.as_bytes())))
}

fn own(name: &str, key: Option<&[u8]>) -> Source {
    let headers = key.map(|key| ("x-session-api-key".to_owned(), Plaintext::copy_of(key)));
    Source::Lookup {
        url: format!("http://localhost:8000/api/settings/secrets/{name}"),
        headers: headers.into_iter().collect(),
    }
}

fn set(secrets: &Secrets, name: &str, source: Source) -> Result<(), Error> {
    let setting = Setting {
        name: name.to_owned(),
        description: Some(format!("about {name}")),
        source,
    };
    secrets.set(vec![setting], &first())
}

async fn value(secrets: &Secrets, name: &str) -> Result<Option<String>, Error> {
    let value = secrets.value(name, "test").await?;
    Ok(value.map(|value| String::from_utf8_lossy(value.expose()).into_owned()))
}

fn hides(secrets: &Secrets, text: &str) -> bool {
    *secrets.redactor().text(text) == MASK
}

#[tokio::test]
async fn every_kind_gives_its_value_masked() {
    let stage = Stage::new();
    stage.put("TOKEN", VALUE);
    let secrets = stage.secrets();
    set(&secrets, "FIXED", fixed("a-static-value-31")).unwrap();
    set(&secrets, "UNSET", Source::Static(None)).unwrap();
    set(
        &secrets,
        "DIRECT",
        Source::Vault(Name::new("TOKEN").unwrap()),
    )
    .unwrap();
    set(&secrets, "LOOKED_UP", own("TOKEN", Some(KEY))).unwrap();
    assert!(hides(&secrets, "a-static-value-31"), "before its first use");
    let fixed = value(&secrets, "FIXED").await.unwrap();
    assert_eq!(fixed.as_deref(), Some("a-static-value-31"));
    for name in ["DIRECT", "LOOKED_UP"] {
        assert_eq!(
            value(&secrets, name).await.unwrap().as_deref(),
            Some(VALUE),
            "{name}"
        );
    }
    assert!(hides(&secrets, VALUE));
    for name in ["UNSET", "NOBODY"] {
        assert_eq!(value(&secrets, name).await.unwrap(), None, "{name}");
    }
    let names: Vec<String> = ["LOOKED_UP", "NOBODY", "FIXED"].map(str::to_owned).into();
    let values = secrets.values(&names, "test").await;
    let lengths = values
        .iter()
        .map(|value| value.as_ref().unwrap().as_ref().map(Plaintext::len));
    assert_eq!(
        lengths.collect::<Vec<_>>(),
        [Some(VALUE.len()), None, Some(17)]
    );
}

#[tokio::test]
async fn the_vault_is_asked_at_each_use() {
    let stage = Stage::new();
    stage.put("TOKEN", VALUE);
    let secrets = stage.secrets();
    set(&secrets, "S", own("TOKEN", None)).unwrap();
    assert_eq!(value(&secrets, "S").await.unwrap().as_deref(), Some(VALUE));
    stage.put("TOKEN", "the-next-value-77");
    assert_eq!(
        value(&secrets, "S").await.unwrap().as_deref(),
        Some("the-next-value-77")
    );
    assert!(hides(&secrets, VALUE) && hides(&secrets, "the-next-value-77"));
    stage.delete("TOKEN");
    assert!(matches!(value(&secrets, "S").await, Err(Error::Absent { name }) if name == "S"));
    assert!(hides(&secrets, VALUE));
}

#[tokio::test]
async fn a_key_is_checked_when_it_is_set_and_its_rights_at_each_use() {
    let stage = Stage::new();
    for name in ["TOKEN", "FORBIDDEN"] {
        stage.put(name, VALUE);
    }
    let secrets = stage.secrets();
    let refused = set(&secrets, "S", own("TOKEN", Some(b"wrong"))).unwrap_err();
    assert!(
        matches!(&refused, Error::UnknownKey { name } if name == "S"),
        "{refused}"
    );
    set(&secrets, "S", own("TOKEN", Some(KEY))).unwrap();
    set(&secrets, "F", own("FORBIDDEN", Some(KEY))).unwrap();
    assert!(matches!(
        value(&secrets, "F").await,
        Err(Error::Denied { .. })
    ));
    // Rotated: it is the same key by its id.
    stage.key.lock().unwrap().0 = b"another".to_vec();
    assert_eq!(value(&secrets, "S").await.unwrap().as_deref(), Some(VALUE));
    stage.key.lock().unwrap().1 = false;
    assert!(matches!(
        value(&secrets, "S").await,
        Err(Error::Denied { .. })
    ));
    // Who set it counts where no header says otherwise.
    stage.key.lock().unwrap().1 = true;
    let setting = Setting {
        name: "L".into(),
        description: None,
        source: own("TOKEN", None),
    };
    secrets.set(vec![setting], &Holder::Local).unwrap();
    assert!(matches!(
        value(&secrets, "L").await,
        Err(Error::Denied { .. })
    ));
}

#[tokio::test]
async fn sources_outlive_a_restart_and_no_session_key_is_kept() {
    let stage = Stage::new();
    stage.put("TOKEN", VALUE);
    let secrets = stage.secrets();
    set(&secrets, "FIXED", fixed("an-earlier-value-1")).unwrap();
    set(&secrets, "FIXED", fixed("the-present-value-2")).unwrap();
    set(&secrets, "S", own("TOKEN", Some(KEY))).unwrap();
    let headers = [("Accept", "text/plain"), ("Authorization", "Bearer b34r3r")];
    let headers =
        headers.map(|(name, value)| (name.to_owned(), Plaintext::copy_of(value.as_bytes())));
    let url = "https://vault.example/v1".to_owned();
    set(
        &secrets,
        "FAR",
        Source::Lookup {
            url: url.clone(),
            headers: headers.into(),
        },
    )
    .unwrap();
    let before = secrets.list();
    drop(secrets);
    let secrets = stage.secrets();
    assert_eq!(secrets.list(), before);
    let shown: Vec<_> = before
        .iter()
        .map(|one| (one.name.as_str(), one.kind.clone()))
        .collect();
    let headers = vec![("Accept".to_owned(), "text/plain".to_owned())];
    let own_url = "http://localhost:8000/api/settings/secrets/TOKEN".to_owned();
    assert_eq!(
        shown,
        [
            ("FAR", Shown::Lookup { url, headers }),
            ("FIXED", Shown::Static),
            (
                "S",
                Shown::Lookup {
                    url: own_url,
                    headers: Vec::new()
                }
            ),
        ]
    );
    assert!(hides(&secrets, "an-earlier-value-1") && hides(&secrets, "the-present-value-2"));
    assert_eq!(value(&secrets, "S").await.unwrap().as_deref(), Some(VALUE));
    let kept = stage
        .vault
        .value(&stage.place, &Name::new("S").unwrap())
        .unwrap()
        .unwrap();
    assert!(
        !kept
            .bytes
            .expose()
            .windows(KEY.len())
            .any(|window| window == KEY)
    );
}

#[tokio::test]
async fn all_are_set_or_none() {
    let stage = Stage::new();
    let secrets = stage.secrets();
    let bad = [
        ("a\nb", fixed("v")),
        (
            "U",
            Source::Lookup {
                url: "ftp://h/x".into(),
                headers: Vec::new(),
            },
        ),
        (
            "O",
            Source::Lookup {
                url: "/health".into(),
                headers: Vec::new(),
            },
        ),
    ];
    for (name, source) in bad {
        let settings = vec![
            Setting {
                name: "GOOD".into(),
                description: None,
                source: fixed("v"),
            },
            Setting {
                name: name.into(),
                description: None,
                source,
            },
        ];
        assert!(secrets.set(settings, &first()).is_err(), "{name:?}");
        assert!(secrets.list().is_empty());
    }
    let many = (0..=SOURCES_MAX).map(|number| Setting {
        name: format!("S{number}"),
        description: None,
        source: Source::Static(None),
    });
    assert!(matches!(
        secrets.set(many.collect(), &first()),
        Err(Error::TooMany)
    ));
}

#[tokio::test]
async fn removed_sources_are_gone_and_their_values_stay_masked() {
    let stage = Stage::new();
    let secrets = stage.secrets();
    for name in ["A", "B"] {
        set(&secrets, name, fixed("a-value-to-forget")).unwrap();
    }
    assert!(secrets.remove("A").unwrap() && !secrets.remove("A").unwrap());
    assert_eq!(value(&secrets, "A").await.unwrap(), None);
    secrets.clear().unwrap();
    assert!(secrets.list().is_empty() && hides(&secrets, "a-value-to-forget"));
    assert!(stage.secrets().list().is_empty());
}

#[test]
fn a_command_gets_the_names_that_occur_in_it_in_any_case() {
    let stage = Stage::new();
    let secrets = stage.secrets();
    for name in ["TOKEN", "Other", "ABSENT", "no-variable"] {
        set(&secrets, name, fixed("v")).unwrap();
    }
    let text = "echo $token OTHERS no-variable";
    assert_eq!(secrets.named_in(text), ["Other", "TOKEN"]);
    assert!(secrets.named_in("ls").is_empty());
}

#[tokio::test]
async fn one_conversation_does_not_know_the_values_of_another() {
    let stage = Stage::new();
    let (one, place) = (stage.secrets(), Namespace::new("conversation/2").unwrap());
    let other = Secrets::open(&place, "2", &stage.resolver).unwrap();
    set(&one, "A", fixed("only-of-the-first")).unwrap();
    assert!(hides(&one, "only-of-the-first") && !hides(&other, "only-of-the-first"));
    assert!(other.list().is_empty());
}

/// One foreign server hangs; everything else goes on, all on one thread.
#[tokio::test]
async fn a_stuck_source_delays_nobody_else() {
    let stage = Stage::new();
    let secrets = stage.secrets();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v", silent.local_addr().unwrap());
    set(
        &secrets,
        "STUCK",
        Source::Lookup {
            url,
            headers: Vec::new(),
        },
    )
    .unwrap();
    let settings = (0..500).map(|number| {
        stage.put(&format!("T{number}"), &format!("{VALUE}-{number}"));
        Setting {
            name: format!("S{number}"),
            description: None,
            source: own(&format!("T{number}"), Some(KEY)),
        }
    });
    let settings = settings.collect();
    secrets.set(settings, &first()).unwrap();
    let stuck = tokio::spawn({
        let secrets = secrets.clone();
        async move {
            secrets
                .values(&["STUCK".to_owned(), "S1".to_owned()], "test")
                .await
        }
    });
    let (_connection, _) = timeout(Duration::from_secs(30), silent.accept())
        .await
        .unwrap()
        .unwrap();
    for number in 0..500 {
        let found = value(&secrets, &format!("S{number}")).await.unwrap();
        assert_eq!(found, Some(format!("{VALUE}-{number}")));
    }
    assert!(!stuck.is_finished());
    stuck.abort();
}

#[tokio::test]
async fn a_foreign_value_is_masked_once_it_was_used() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let stage = Stage::new();
    let secrets = stage.secrets();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v", listener.local_addr().unwrap());
    let headers = vec![("X-Token".to_owned(), Plaintext::copy_of(b"b34r3r"))];
    set(&secrets, "FAR", Source::Lookup { url, headers }).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let read = stream.read(&mut asked).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\na-foreign-value\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8_lossy(&asked[..read]).into_owned()
    });
    assert!(!hides(&secrets, "a-foreign-value"));
    let found = value(&secrets, "FAR").await.unwrap();
    assert_eq!(found.as_deref(), Some("a-foreign-value\n"));
    assert!(hides(&secrets, "a-foreign-value"));
    assert!(served.await.unwrap().contains("X-Token: b34r3r\r\n"));
}

/// `operation name verdict who tool` of each entry, oldest first.
fn trail(vault: &Vault) -> Vec<String> {
    use strongroom_vault::audit::{Filter, Order};
    let page = vault.accesses(&Filter::default(), Order::OldestFirst, None, 100);
    let told = page.unwrap().entries.into_iter().map(|one| {
        assert_eq!(one.who.conversation(), Some("1"));
        let (name, who) = (one.name.unwrap(), one.who.name().to_owned());
        let tool = one.who.tool().unwrap();
        format!("{} {name} {} {who} {tool}", one.operation, one.verdict)
    });
    told.collect()
}

#[tokio::test]
async fn whoever_uses_a_source_is_in_the_audit_trail_with_what_came_of_it() {
    let stage = Stage::new();
    let secrets = stage.secrets();
    set(&secrets, "OWN", own("TOKEN", Some(KEY))).unwrap();
    set(&secrets, "NO", own("FORBIDDEN", Some(KEY))).unwrap();
    set(&secrets, "FIXED", fixed("fixed-value-19c2")).unwrap();
    assert!(secrets.value("OWN", "think").await.is_err());
    stage.put("TOKEN", VALUE);
    let names = ["OWN", "NO", "FIXED"].map(str::to_owned);
    let values = secrets.values(&names, "terminal").await;
    assert!(values[0].is_ok() && values[1].is_err() && values[2].is_ok());
    secrets.skipped("FIXED", "terminal").await;
    secrets.remove("FIXED").unwrap();
    let expected = [
        "write OWN done key:first set",
        "write NO done key:first set",
        "write FIXED done key:first set",
        "lookup TOKEN absent key:first think",
        "inject TOKEN done key:first terminal",
        "inject FORBIDDEN refused key:first terminal",
        "inject FIXED done server terminal",
        "inject FIXED failed server terminal",
        "delete FIXED done server remove",
    ];
    assert_eq!(trail(&stage.vault), expected);
}
