//! What holds for the sources and no compiler checks: where `unsafe` and plaintext may be touched, what must
//! not be written down, how long a file may get, which crate may name which.
//!
//! A list here is changed in the commit that needs it, so that a review sees it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::program::root;

/// The only modules that may hold `unsafe`.
const UNSAFE: &[&str] = &["http/src/scrub.rs", "vault/src/alloc.rs"];

/// The only modules that may look at a secret's bytes, tests left out.
const EXPOSE: &[&str] = &[
    "agent/src/json.rs",                      // its own texts
    "agent/src/json/write.rs",                // into a body
    "agent/src/llm/body.rs",                  // the settings' own members of a request
    "agent/src/llm/client.rs",                // the key, to find it in a provider's error
    "agent/src/llm/key.rs",                   // the key, into the headers of a request
    "agent/src/openhands/export.rs",          // records, into a state directory
    "agent/src/openhands/import.rs",          // a state directory, into records
    "agent/src/openhands/vault.rs",           // versions that clients gave, into records
    "agent/src/profiles/agent.rs",            // names and ids, which are texts too
    "agent/src/profiles/agent/launch.rs",     // names, and whether a key is set
    "agent/src/profiles/agent/seed.rs",       // words of a command
    "agent/src/profiles/llm.rs",              // names; records, which are parsed
    "agent/src/profiles/meta.rs",             // names; records, which are parsed
    "agent/src/profiles/trial.rs", // the secrets of a model, to find them in its provider's error
    "agent/src/settings/agent.rs", // names of tools
    "agent/src/settings/context.rs", // names of skills
    "agent/src/settings/desk.rs",  // records, which are parsed
    "agent/src/settings/field/collection.rs", // members of a body
    "agent/src/settings/field/scalar.rs", // members of a body
    "agent/src/settings/llm.rs",   // names; whether a key is set
    "agent/src/settings/migrate.rs", // members of older documents
    "agent/src/settings/model.rs", // words of choices
    "agent/src/settings/patch.rs", // names in a body
    "agent/src/settings/schema.rs", // the documents of the schemas
    "agent/src/settings/secret.rs", // the mark itself: secrets, into what a view shows
    "agent/src/settings/store.rs", // a body that is shown again
    "agent/tests/recorded/main.rs", // a test
    "agent/tests/recorded/placeholders.rs", // a test
    "http/src/auth.rs",            // session keys, into digests
    "http/src/cli/secret.rs",      // a value, to standard output
    "http/src/cli/verify.rs",      // a report
    "http/src/client.rs",          // a body, into a request of our own
    "http/src/config.rs",          // variables, as what they are for
    "http/src/config/environment.rs", // variables, as what they are for
    "http/src/config/file.rs",     // fields of the file, as what they are for
    "http/src/log.rs",             // the line that is written, which holds no secret
    "http/src/reply.rs",           // a value, onto the wire
    "http/src/routes/secrets.rs",  // the fields of a body
    "http/src/transfer.rs",        // keys, into an order
    "vault/src/cache.rs",          // values, re-sealed
    "vault/src/keys.rs",           // the keys themselves
    "vault/src/manifest.rs",       // sealed by the names key, not secret
    "vault/src/open.rs",           // the text of a new identity, into its file
    "vault/src/record.rs",         // sealed metadata
    "vault/src/seal.rs",           // values, into age files
    "vault/src/slots.rs",          // keys and identities, into slots
    "vault/src/stanza.rs",         // file keys
];

/// Files that may have more lines than [`LINES_MAX`], and why.
const LONG: &[(&str, &str)] = &[(
    "vault/src/vault/tests.rs",
    "the suite of one type, read by its headings",
)];
const LINES_MAX: usize = 500;

/// Which crates of ours each crate may name. Its tests may name no other either.
const ARROWS: &[(&str, &[&str])] = &[
    ("vault", &[]),
    ("agent", &["vault"]),
    ("http", &["agent", "vault"]),
];
/// What the vault must not need: it is synchronous and knows no wire format.
const NOT_IN_VAULT: &[&str] = &["tokio", "hyper", "serde", "serde_json", "http"];

/// A text file of the repository: its path from the root, with `/`, and its content.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether all of it is a test.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("/conformance.rs")
    }

    /// The lines in front of the tests, which stand last, without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self
            .text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]" || !self.tests_follow(line));
        lines.map(|line| line.split_once("//").map_or(line, |(code, _)| code))
    }

    /// Whether the attribute at `line` (a slice of the text) is that of the tests' module.
    fn tests_follow(&self, line: &str) -> bool {
        let at = line.as_ptr() as usize - self.text.as_ptr() as usize;
        self.text[at..].starts_with("#[cfg(test)]\nmod tests {")
    }
}

/// Every text file but build output and what git keeps.
fn files() -> Vec<File> {
    let mut found = Vec::new();
    walk(&root(), String::new(), &mut found);
    assert!(found.len() > 50, "only {} files are seen", found.len());
    found
}

fn walk(dir: &Path, prefix: String, found: &mut Vec<File>) {
    const SKIPPED: [&str; 5] = [".git", ".venv", "target", "corpus", "artifacts"];
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if SKIPPED.contains(&&*name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), path + "/", found);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            found.push(File { path, text });
        }
    }
}

/// Whether `word` stands in `line` as a word of its own, outside of a string.
fn says(line: &str, word: &str) -> bool {
    let outside: String = line.split('"').step_by(2).collect();
    let part = |letter: char| letter.is_alphanumeric() || letter == '_';
    outside.match_indices(word).any(|(at, _)| {
        !outside[..at].ends_with(part) && !outside[at + word.len()..].starts_with(part)
    })
}

/// Holds the files for which `has` is true against a list, both ways.
fn listed(what: &str, list: &[&str], has: impl Fn(&File) -> bool) {
    let files = files();
    let there: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.is_rust() && has(file))
        .map(|file| file.path.as_str())
        .collect();
    let list: BTreeSet<&str> = list.iter().copied().collect();
    let new: Vec<_> = there.difference(&list).collect();
    let gone: Vec<_> = list.difference(&there).collect();
    assert!(
        new.is_empty(),
        "{what}: new in {new:?}; is it needed there?"
    );
    assert!(
        gone.is_empty(),
        "{what}: no longer in {gone:?}; take it off the list"
    );
}

#[test]
fn unsafe_is_in_the_listed_modules_alone_and_explained() {
    let blocks = |file: &File| file.code().any(|line| says(line, "unsafe"));
    listed("unsafe", UNSAFE, |file| blocks(file));
    for file in files().iter().filter(|file| UNSAFE.contains(&&*file.path)) {
        let allows = file
            .text
            .contains("#![allow(\n    unsafe_code,\n    reason = ")
            || file.text.contains("#![allow(unsafe_code, reason = ");
        assert!(
            allows,
            "{}: the module gives no reason at its top",
            file.path
        );
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split_once("//").map_or(*line, |(code, _)| code);
            if ["unsafe {", "unsafe impl"]
                .iter()
                .any(|start| code.contains(start))
            {
                let before = &lines[at.saturating_sub(5)..at];
                assert!(
                    before.iter().any(|line| line.contains("SAFETY:")),
                    "{}:{}: no SAFETY comment",
                    file.path,
                    at + 1
                );
            }
        }
    }
}

#[test]
fn secrets_are_looked_at_in_the_listed_modules_alone() {
    listed("expose()", EXPOSE, |file| {
        !file.is_test()
            && !file.path.starts_with("fuzz/")
            && file.code().any(|line| line.contains(".expose()"))
    });
}

#[test]
fn nothing_is_left_to_be_done() {
    for file in files()
        .iter()
        .filter(|file| file.is_rust() && file.path != "tests/tidy.rs")
    {
        for unfinished in ["todo!", "unimplemented!", "dbg!", "FIXME", "XXX"] {
            assert!(
                !file.text.contains(unfinished),
                "{}: {unfinished}",
                file.path
            );
        }
    }
}

#[test]
fn no_file_names_a_machine_or_a_private_registry() {
    // In two parts, so that this file does not name them either.
    let places = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
    ];
    for File { path, text } in files() {
        for place in places {
            assert!(!text.contains(place), "{path}: {place}");
        }
        assert!(!path.contains(".cargo/"), "{path}: settings of one machine");
        if path.ends_with("Cargo.lock") {
            let sources = text
                .lines()
                .filter_map(|line| line.strip_prefix("source = "));
            for source in sources {
                assert_eq!(
                    source, "\"registry+https://github.com/rust-lang/crates.io-index\"",
                    "{path}"
                );
            }
        }
        if path.ends_with("Cargo.toml") {
            assert!(!text.contains("registry"), "{path}: names a registry");
        }
    }
}

#[test]
fn files_stay_short() {
    for file in files().iter().filter(|file| file.is_rust()) {
        let lines = if file.is_test() {
            file.text.lines().count()
        } else {
            file.code().count()
        };
        let excused = LONG.iter().any(|(path, _)| *path == file.path);
        assert_eq!(
            lines > LINES_MAX,
            excused,
            "{} has {lines} lines, tests at its end left out; excused: {excused}",
            file.path
        );
    }
}

/// The names of the dependencies that a manifest has, of any kind.
fn dependencies(manifest: &str) -> Vec<String> {
    let (mut inside, mut names) = (false, Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.starts_with(|first: char| first.is_alphabetic()) {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            names.push(line[..end].to_owned());
        }
    }
    names
}

#[test]
fn crates_name_only_those_below_them() {
    for (krate, below) in ARROWS {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let names = dependencies(&manifest);
        assert!(!names.is_empty(), "{krate} needs something");
        let ours = names
            .iter()
            .filter_map(|name| name.strip_prefix("strongroom-"));
        for name in ours {
            assert!(below.contains(&name), "{krate} must not name {name}");
        }
        if *krate == "vault" {
            for name in &names {
                assert!(
                    !NOT_IN_VAULT.contains(&name.as_str()),
                    "the vault must not need {name}"
                );
            }
        }
    }
}

#[test]
fn every_member_has_the_lints_of_the_workspace_and_every_dependency_is_declared_there() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = workspace
        .lines()
        .find_map(|line| line.strip_prefix("members = ["))
        .unwrap();
    for member in members
        .trim_end_matches(']')
        .split(',')
        .map(|name| name.trim().trim_matches('"'))
    {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{member}");
        for name in dependencies(&manifest) {
            let declared = workspace
                .lines()
                .any(|line| line.starts_with(&format!("{name} = ")));
            assert!(
                declared,
                "{member}: {name} is not declared in the workspace"
            );
        }
    }
}
