//! What holds for the sources and no compiler checks: where `unsafe` and plaintext may be touched, what must
//! not be written down, how long a file may get, which crate may name which.
//!
//! A list here is changed in the commit that needs it, so that a review sees it.

use std::fs;
use std::path::Path;

use crate::program::root;

/// The only modules that may hold `unsafe`.
const UNSAFE: &[&str] = &[
    "agent/src/arena.rs",
    "agent/src/child/exec.rs",
    "agent/src/child/signals.rs",
    "agent/src/child/vfork.rs",
    "agent/src/conversation/clock.rs",
    "agent/src/heap.rs",
    "agent/src/isolate/cover.rs",
    "http/src/environ.rs",
    "http/src/scrub.rs",
    "vault/src/alloc.rs",
    "vault/src/locked.rs",
];

/// The only modules that may look at a secret's bytes or at a text of a JSON tree, tests left out. A directory stands
/// for all in it.
const EXPOSE: &[&str] = &[
    "agent/src/inject.rs",               // into a child's environment
    "agent/src/inject/handed.rs",        // into a file for a child
    "agent/src/json.rs",                 // its own texts
    "agent/src/json/write.rs",           // into a body
    "agent/src/lender.rs",               // copies, for a redactor elsewhere
    "agent/src/llm/body.rs",             // the settings' own members of a request
    "agent/src/llm/client.rs",           // the key, to find it in a provider's error
    "agent/src/mcp.rs",                  // a token behind the word before it
    "agent/src/mcp/", // into messages and headers, and what servers say, to mask it
    "agent/src/tool/terminal/shell.rs", // values, into the pipe that the shell reads
    "agent/src/net/slip.rs", // headers with credentials, onto the wire
    "agent/src/openhands/", // the peer's files, read and written
    "agent/src/profiles/", // the texts of a profile
    "agent/src/redact/set.rs", // into fingerprints
    "agent/src/secrets.rs", // a source, and the session key in its headers
    "agent/src/secrets/entry.rs", // a source
    "agent/src/settings/", // the texts of the settings
    "agent/src/source.rs", // into the bytes of a source
    "http/src/auth.rs", // session keys, into digests
    "http/src/cli/audit.rs", // entries of the audit trail, to standard output
    "http/src/cli/secret.rs", // a value, to standard output
    "http/src/cli/verify.rs", // the server's report
    "http/src/client.rs", // requests and answers of commands
    "http/src/config.rs", // variables, as what they are for
    "http/src/config/", // variables and fields of the file, as what they are for
    "http/src/log.rs", // the line that is written, which holds no secret
    "http/src/reply.rs", // a value, onto the wire
    "http/src/routes/secrets.rs", // the fields of a body
    "http/src/several.rs", // values, into one body
    "http/src/transfer.rs", // what a command sends through the server
    "vault/src/audit/", // entries of the audit trail, which hold no secret
    "vault/src/cache.rs", // values, re-sealed
    "vault/src/keys.rs", // the keys themselves
    "vault/src/manifest.rs", // sealed by the names key, not secret
    "vault/src/open.rs", // the text of a new identity, into its file
    "vault/src/record.rs", // sealed metadata
    "vault/src/seal.rs", // values, into age files
    "vault/src/slots.rs", // keys and identities, into slots
    "vault/src/stanza.rs", // file keys
    "agent/src/conversation/info.rs", // an answer, which is masked
    "agent/src/conversation/journal.rs", // the state, which holds no secret
    "agent/src/conversation/pending.rs", // true actions, read back
    // a title, and what an agent is made of
    "agent/src/conversation/registry.rs",
    "agent/src/conversation/registry/", // the texts of a request
    "agent/src/conversation/request/",  // the texts of a request, and values of secrets in it
    "agent/src/conversation/search.rs", // events, which are masked
];

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
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("/conformance.rs")
    }

    /// The lines without comments, and without the module of tests.
    fn code(&self) -> Vec<&str> {
        let (mut code, mut tests, mut before) = (Vec::new(), false, "");
        for line in self.text.lines() {
            tests |= before == "#[cfg(test)]" && line == "mod tests {";
            if !tests {
                code.push(line.split_once("//").map_or(line, |(code, _)| code));
            }
            tests &= line != "}";
            before = line;
        }
        code
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
    let there: Vec<&str> = files
        .iter()
        .filter(|file| file.is_rust() && has(file))
        .map(|file| file.path.as_str())
        .collect();
    let covers =
        |entry: &str, path: &str| entry == path || entry.ends_with('/') && path.starts_with(entry);
    for path in &there {
        let known = list.iter().any(|entry| covers(entry, path));
        assert!(known, "{what}: new in {path}; is it needed there?");
    }
    for entry in list {
        let needed = there.iter().any(|path| covers(entry, path));
        assert!(needed, "{what}: no longer in {entry}; take it off the list");
    }
}

#[test]
fn unsafe_is_in_the_listed_modules_alone_and_explained() {
    let blocks = |file: &File| file.code().iter().any(|line| says(line, "unsafe"));
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
            && file.code().iter().any(|line| line.contains(".expose()"))
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
            file.code().len()
        };
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines, tests at its end left out",
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
