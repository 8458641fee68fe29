//! What we say to a shell, and what it says back.
//!
//! The shell reads our words from a pipe, which no program inherits, and runs commands with the terminal as their
//! input. After each command it writes a report into the terminal, so that report and output keep their order. A
//! report begins and ends with a random number that the command could not know, since the shell has read it but told
//! nobody: no output can pass for one.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt as _;

use crate::limits::TERMINAL_REPORT_BYTES_MAX;

/// Frames a report. Nothing that is meant to be read has it.
const FRAME: u8 = 0x1e;

/// The number of one report.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Nonce(String);

impl Nonce {
    pub(super) fn new() -> std::io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let mut hex = String::with_capacity(32);
        for byte in bytes {
            let _ = write!(hex, "{byte:02x}");
        }
        Ok(Self(hex))
    }
}

/// Said to a fresh shell: no history, no prompts, our two functions, and the user's own start-up file unless `bare`.
/// Ends with a report of user and host.
pub(super) fn greeting(nonce: &Nonce, bare: bool) -> Vec<u8> {
    let user_file = if bare {
        ""
    } else {
        "if [ -r ~/.bashrc ]; then . ~/.bashrc; fi </dev/tty\n"
    };
    format!(
        r#"PS1= PS2= PROMPT_COMMAND=; set +o history; set +H; history -c; unset HISTFILE
{user_file}PS1= PS2= PROMPT_COMMAND=; set +o history; set +H; history -c; unset HISTFILE
__strongroom_end() {{
  local __strongroom_status=$? IFS=$' \t\n'
  PS1= PS2= PROMPT_COMMAND=
  [ "${{__strongroom_last-}}" = "$1${{2-}}" ] || printf '\036%s\0%s\0%s\0%s\0%s\0%s\036' "$1" "$__strongroom_status" "${{!:--1}}" "${{PATH-}}" "${{PWD-}}" "$1" >/dev/tty
  __strongroom_last=$1
  return $__strongroom_status
}}
__strongroom_take() {{
  local __strongroom_status=$? IFS=$' \t\n'
  printf '\036%s\0\0%s\036' "$1" "$1" >/dev/tty
  shift
  while [ $# -gt 0 ]; do
    LC_ALL=C IFS= builtin read -r -d '' "$1"
    export "$1"
    shift
  done
  return $__strongroom_status
}}

{{ printf '\036%s\0%s\0%s\0%s\036' '{nonce}' "${{USER:-${{LOGNAME:-$(id -un)}}}}" "$HOSTNAME" '{nonce}' >/dev/tty; }} 2>/dev/null
"#,
        nonce = nonce.0
    )
    .into_bytes()
}

/// Said to run `command` and report. Whatever throws the shell back to its next line (an interrupt, an unset variable
/// under `set -u`) finds there to report.
pub(super) fn command(nonce: &Nonce, command: &str) -> Vec<u8> {
    let command = quoted(command);
    let mut said = format!(
        "builtin eval {command} </dev/tty; {{ __strongroom_end {}; }} 2>/dev/null\n",
        nonce.0
    )
    .into_bytes();
    said.extend(end(nonce));
    said
}

/// Said for a report in case there was none. The blank line ends whatever a syntax error has left open.
fn end(nonce: &Nonce) -> Vec<u8> {
    format!("\n{{ __strongroom_end {}; }} 2>/dev/null\n", nonce.0).into_bytes()
}

/// Said after an interrupt for a report in any case: the interrupt may have hit the report itself.
pub(super) fn end_again(nonce: &Nonce) -> Vec<u8> {
    format!("\n{{ __strongroom_end {} again; }} 2>/dev/null\n", nonce.0).into_bytes()
}

/// Said to make the shell take the values of these variables, which follow after its report, each with a NUL at its
/// end. The names are identifiers.
pub(super) fn take<'a>(nonce: &Nonce, names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut said = format!("\n{{ __strongroom_take {}", nonce.0);
    for name in names {
        said.push(' ');
        said.push_str(name);
    }
    said.push_str("; } 2>/dev/null\n");
    said.into_bytes()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What a shell reports.
pub(super) type Report = Vec<Vec<u8>>;

/// How a command ended, and where that left the shell.
#[derive(Clone, Default)]
pub(super) struct Ended {
    pub(super) status: i32,
    /// The last process in the background, -1 for none.
    pub(super) background: i64,
    pub(super) path: OsString,
    pub(super) directory: String,
}

impl Ended {
    pub(super) fn read(report: Report) -> Option<Self> {
        let [status, background, path, directory] = <[Vec<u8>; 4]>::try_from(report).ok()?;
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<i64>().ok();
        Some(Self {
            status: i32::try_from(number(&status)?).ok()?,
            background: number(&background).unwrap_or(-1),
            path: OsString::from_vec(path),
            directory: String::from_utf8_lossy(&directory).into_owned(),
        })
    }
}

/// Finds reports in what comes from the terminal. What could still be one is kept back.
#[derive(Default)]
pub(super) struct Scanner {
    awaited: Option<Nonce>,
    /// The one before: when it comes again it is no output either.
    stale: Option<Nonce>,
    kept: Vec<u8>,
}

/// What was found.
pub(super) enum Found {
    /// Output.
    Output(Vec<u8>),
    /// The report that was awaited.
    Report(Report),
}

impl Scanner {
    /// Waits for the report of this number now.
    pub(super) fn await_report(&mut self, nonce: Nonce) {
        self.stale = self.awaited.replace(nonce);
    }

    /// The number of the report that was awaited last.
    pub(super) fn awaited(&self) -> Option<Nonce> {
        self.awaited.clone()
    }

    /// Takes the next bytes and hands on what is in them.
    pub(super) fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(Found)) {
        self.kept.extend_from_slice(bytes);
        let kept = std::mem::take(&mut self.kept);
        let mut rest = kept.as_slice();
        let mut output = Vec::new();
        while let Some(at) = rest.iter().position(|byte| *byte == FRAME) {
            let (before, framed) = rest.split_at(at);
            output.extend_from_slice(before);
            rest = framed;
            match self.look(framed) {
                Look::Open => break,
                Look::Output => {
                    output.push(FRAME);
                    rest = framed.get(1..).unwrap_or_default();
                }
                Look::Whole { len, report } => {
                    if let Some(report) = report {
                        found(Found::Output(std::mem::take(&mut output)));
                        found(Found::Report(report));
                    }
                    rest = framed.get(len..).unwrap_or_default();
                }
            }
        }
        if rest.first() != Some(&FRAME) {
            output.extend_from_slice(rest);
            rest = &[];
        }
        self.kept = rest.to_vec();
        if !output.is_empty() {
            found(Found::Output(output));
        }
    }

    fn look(&self, framed: &[u8]) -> Look {
        let body = framed.get(1..).unwrap_or_default();
        for nonce in self.awaited.iter().chain(&self.stale) {
            let number = nonce.0.as_bytes();
            if number.starts_with(body) {
                return Look::Open;
            }
            let Some(body) = body.strip_prefix(number) else {
                continue;
            };
            let end = [b"\0", number, &[FRAME]].concat();
            let Some(at) = body.windows(end.len()).position(|window| window == end) else {
                return if framed.len() < TERMINAL_REPORT_BYTES_MAX {
                    Look::Open
                } else {
                    Look::Output
                };
            };
            let fields = body.get(1..at).unwrap_or_default().split(|byte| *byte == 0);
            let report = self.awaited.as_ref() == Some(nonce);
            let report = report.then(|| fields.map(<[u8]>::to_vec).collect());
            return Look::Whole {
                len: 1 + number.len() + at + end.len(),
                report,
            };
        }
        Look::Output
    }
}

enum Look {
    /// Could become a report.
    Open,
    /// Is none.
    Output,
    /// Is one, of this many bytes; of an awaited number with its fields.
    Whole { len: usize, report: Option<Report> },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(scanner: &mut Scanner, pieces: &[&[u8]]) -> (Vec<u8>, Vec<Report>) {
        let (mut output, mut reports) = (Vec::new(), Vec::new());
        for piece in pieces {
            scanner.feed(piece, |found| match found {
                Found::Output(bytes) => output.extend(bytes),
                Found::Report(report) => reports.push(report),
            });
        }
        (output, reports)
    }

    fn report(nonce: &Nonce, fields: &str) -> Vec<u8> {
        format!("\u{1e}{0}\0{fields}\0{0}\u{1e}", nonce.0).into_bytes()
    }

    #[test]
    fn only_the_awaited_number_ends_a_command() {
        let (one, two) = (Nonce::new().unwrap(), Nonce::new().unwrap());
        let mut scanner = Scanner::default();
        scanner.await_report(one.clone());
        let other = report(&two, "0\0-1\0\0/");
        let (output, reports) = feed(
            &mut scanner,
            &[
                b"a",
                &other,
                b"b",
                &report(&one, "7\u{0}12\0/bin\0/w\u{1e}\n"),
            ],
        );
        assert_eq!(output, [b"a", other.as_slice(), b"b"].concat());
        let ended = Ended::read(reports[0].clone()).unwrap();
        assert_eq!(
            (ended.status, ended.background, ended.directory.as_str()),
            (7, 12, "/w\u{1e}\n")
        );

        scanner.await_report(two.clone());
        let (output, reports) = feed(&mut scanner, &[&report(&one, "0\0-1\0\0/"), b"x", &other]);
        assert_eq!((output.as_slice(), reports.len()), (&b"x"[..], 1));
    }

    #[test]
    fn a_report_without_end_is_output() {
        let nonce = Nonce::new().unwrap();
        let mut scanner = Scanner::default();
        scanner.await_report(nonce.clone());
        let begun = format!("\u{1e}{}\0", nonce.0).into_bytes();
        let (output, _) = feed(&mut scanner, &[&begun]);
        assert!(output.is_empty());
        let (output, _) = feed(&mut scanner, &[&vec![b'x'; TERMINAL_REPORT_BYTES_MAX]]);
        assert_eq!(output.len(), begun.len() + TERMINAL_REPORT_BYTES_MAX);
    }

    #[test]
    fn quotes_survive_quoting() {
        assert_eq!(quoted("echo 'it''s'"), r"'echo '\''it'\'''\''s'\'''");
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            before in "[a\u{1e}0-9\0]{0,20}", after in "[a\u{1e}0-9\0]{0,20}", cut in 0_usize..200, step in 1_usize..50,
        ) {
            let nonce = Nonce::new().unwrap();
            let whole = [before.as_bytes(), &report(&nonce, "0\0-1\0p\0/d"), after.as_bytes(), b"."].concat();
            let mut scanner = Scanner::default();
            scanner.await_report(nonce);
            let (first, rest) = whole.split_at(cut.min(whole.len()));
            let pieces: Vec<&[u8]> = std::iter::once(first).chain(rest.chunks(step)).collect();
            let (output, reports) = feed(&mut scanner, &pieces);
            prop_assert_eq!(output, [before.as_bytes(), after.as_bytes(), b"."].concat());
            prop_assert_eq!(reports.len(), 1);
        }
    }
}
