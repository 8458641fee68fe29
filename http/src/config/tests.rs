//! What variables and options come to.

use super::environment::of_pairs as env;
use super::*;

fn keys(pairs: &[(&str, &str)]) -> Vec<String> {
    let config = server(None, 0, &mut env(pairs)).unwrap();
    let text = |key: &Plaintext| String::from_utf8_lossy(key.expose()).into_owned();
    config.keys.iter().map(text).collect()
}

#[test]
fn session_keys_come_as_list_by_number_or_alone() {
    assert_eq!(keys(&[("SESSION_API_KEY", "a")]), ["a"]);
    assert_eq!(
        keys(&[
            ("OH_SESSION_API_KEYS_1", "c"),
            ("OH_SESSION_API_KEYS_0", "b"),
            ("SESSION_API_KEY", "a")
        ]),
        ["b", "c"]
    );
    assert_eq!(
        keys(&[("OH_SESSION_API_KEYS", r#"["x",""," y"]"#)]),
        ["x", " y"]
    );
    assert_eq!(
        keys(&[("OH_SESSION_API_KEYS_0", " "), ("SESSION_API_KEY", "a")]),
        ["a"]
    );
    assert_eq!(keys(&[("OH_SESSION_API_KEYS_3", "late")]), ["late"]);
    assert!(keys(&[("SESSION_API_KEY", " \t")]).is_empty());
}

#[test]
fn a_broken_list_is_told_without_its_content() {
    let wrong = server(None, 0, &mut env(&[("OH_SESSION_API_KEYS", "[leak")]))
        .err()
        .unwrap();
    let text = wrong.to_string();
    assert!(
        text.starts_with("OH_SESSION_API_KEYS is not") && !text.contains("leak"),
        "{text}"
    );
}

#[test]
fn without_a_key_the_default_is_loopback() {
    let host = |pairs: &[(&str, &str)]| server(None, 1, &mut env(pairs)).unwrap().addresses;
    assert_eq!(host(&[]), ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(
        host(&[("SESSION_API_KEY", "k")]),
        ["0.0.0.0:1".parse().unwrap()]
    );
    let given = server(Some("[::1]"), 1, &mut env(&[])).unwrap().addresses;
    assert_eq!(given, ["[::1]:1".parse().unwrap()]);
}

#[test]
fn the_data_directory_is_found() {
    let dir = |given: Option<&str>, pairs: &[(&str, &str)]| {
        data_dir(given.map(PathBuf::from), &env(pairs))
            .unwrap()
            .display()
            .to_string()
    };
    let home = ("HOME", "/home/u");
    assert_eq!(dir(Some("d"), &[home, ("OH_PERSISTENCE_DIR", "/p")]), "d");
    assert_eq!(
        dir(None, &[home, ("OH_PERSISTENCE_DIR", "~/p")]),
        "/home/u/p"
    );
    assert_eq!(
        dir(None, &[home, ("OH_PERSISTENCE_DIR", " ")]),
        dir(None, &[home])
    );
    if cfg!(not(target_os = "macos")) {
        assert_eq!(dir(None, &[home]), "/home/u/.local/share/strongroom");
        assert_eq!(dir(None, &[home, ("XDG_DATA_HOME", "/x")]), "/x/strongroom");
        assert_eq!(
            dir(None, &[home, ("XDG_DATA_HOME", "x")]),
            dir(None, &[home])
        );
    }
    assert!(data_dir(None, &env(&[])).is_err());
}

#[test]
fn the_root_path_is_that_of_the_web_url() {
    let root = |url: &str| root(&env(&[("OH_WEB_URL", url)])).unwrap();
    assert_eq!(root("https://h.example/base/"), "/base");
    assert_eq!(root("https://h.example/a/b%20c?x=/y#z"), "/a/b c");
    for none in [
        "https://h.example",
        "https://h.example/",
        " ",
        "https://h?x=/y",
    ] {
        assert_eq!(root(none), "", "{none}");
    }
    assert!(super::root(&env(&[("OH_WEB_URL", "http://h/a b")])).is_err());
}

#[test]
fn a_server_knows_its_further_urls() {
    let urls = |pairs: &[(&str, &str)]| {
        let config = server(None, 0, &mut env(pairs));
        config.map(|config| config.lookup.urls)
    };
    let web = ("OH_WEB_URL", "https://h.example/base/");
    let internal = ("OH_INTERNAL_SERVER_URL", "http://agent:8000");
    assert_eq!(urls(&[]).ok().unwrap(), [""; 0]);
    assert_eq!(urls(&[web, internal]).ok().unwrap(), [internal.1, web.1]);
    assert_eq!(urls(&[("OH_WEB_URL", "/base")]).ok().unwrap(), [""; 0]);
    let wrong = urls(&[("OH_INTERNAL_SERVER_URL", "leak://x")]);
    let wrong = wrong.err().unwrap().to_string();
    assert!(
        wrong.starts_with("OH_INTERNAL_SERVER_URL is not") && !wrong.contains("leak"),
        "{wrong}"
    );
}

#[test]
fn the_command_line_says_how_to_isolate_before_the_environment_does() {
    let ask = |given, word| isolation(given, &env(&[("STRONGROOM_ISOLATE", word)]));
    assert_eq!(ask(None, ""), Ok(Isolation::Auto));
    assert_eq!(ask(None, "require"), Ok(Isolation::Require));
    assert_eq!(ask(Some(Isolation::Off), "require"), Ok(Isolation::Off));
    assert!(ask(None, "on").is_err());
    let deny = [("STRONGROOM_LOOKUP_DENY_PRIVATE", "yes")];
    let config = server(None, 0, &mut env(&deny)).ok().unwrap();
    assert!(config.lookup.deny_private);
}

#[test]
fn the_keys_of_the_environment_are_masked() {
    let pairs = [
        ("OH_SECRET_KEY", "now"),
        ("OH_PREVIOUS_SECRET_KEYS_0", "then"),
    ];
    let config = server(None, 0, &mut env(&pairs)).ok().unwrap();
    let masked = config.masked.iter().map(|(_, key)| key.expose());
    assert_eq!(masked.collect::<Vec<_>>(), [&b"now"[..], b"then"]);
}

#[test]
fn logs_go_to_a_file_when_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("deep/logs");
    let log = |dir: &str| {
        log(&env(&[
            ("LOG_TO_FILE", "true"),
            ("LOG_DIR", dir),
            ("DEBUG", "1"),
            ("LOG_LEVEL", "ERROR"),
        ]))
    };
    let opened = log(place.to_str().unwrap()).ok().unwrap();
    assert!(opened.file.is_some() && opened.level == Level::Debug);
    assert!(place.join("app.log").is_file());
    std::fs::write(dir.path().join("file"), "").unwrap();
    let wrong = log(dir.path().join("file").to_str().unwrap())
        .err()
        .unwrap();
    assert!(wrong.to_string().starts_with("LOG_DIR is no directory"));
}

#[test]
fn log_and_origins_are_read() {
    let mut env = env(&[
        ("LOG_JSON", "Yes"),
        ("LOG_LEVEL", "warning"),
        ("OH_ALLOW_CORS_ORIGINS_0", "*"),
        ("OH_ALLOW_CORS_ORIGIN_REGEX", "https://.*"),
    ]);
    let config = server(None, 0, &mut env).unwrap();
    assert!(config.log.json && config.log.level == Level::Warn);
    assert!(config.origins.any && config.origins.pattern.is_some());
}
