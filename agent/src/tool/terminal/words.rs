//! What the model is told about the terminal, and what it may not say to it.

use super::split;
use crate::limits::TERMINAL_COMMAND_BYTES_MAX;
use crate::tool::spec::{Annotations, Field, Spec, Type};

/// What it is.
pub(crate) static SPEC: Spec = Spec {
    name: "terminal",
    kind: "TerminalTool",
    action: "TerminalAction",
    observation: "TerminalObservation",
    module: Some("openhands.tools.terminal.definition"),
    description: "Run a command in a bash shell that stays from one call to the next, with its directory, variables, \
                  functions and background jobs.\n\
                  * One command at a time. Join several with && or ; on one line. Loops, functions and here-documents \
                  may take many lines.\n\
                  * A command that prints nothing for 30 seconds, or does not end within its `timeout`, is left \
                  running and you get its output so far, with exit code -1. Then call again with an empty command to \
                  wait for more, or with `is_input` to type into it or to send it a key: C-c interrupts, C-d ends its \
                  input, C-z stops it. No other command runs until it has ended.\n\
                  * Start what should run on (a server) in the background, with its output in a file: \
                  `server > server.log 2>&1 &`.\n\
                  * Do not end the shell itself (`exit`, `exec`); a fresh one would know nothing of the old one.\n\
                  * Very long output is cut in the middle: look at what you need with grep, head or tail.",
    annotations: Annotations {
        title: Some("terminal"),
        read_only: false,
        destructive: true,
        idempotent: false,
        open_world: true,
    },
    fields: &[
        Field {
            name: "command",
            kind: Type::Text,
            required: true,
            description: "The command. Empty to wait for more output of the one that runs. With is_input: what to type \
                          into it (Enter is added), or a key: C-c, C-d, C-z and other C- letters, ENTER, TAB, ESC, BS, \
                          UP, DOWN, LEFT, RIGHT, HOME, END, PGUP, PGDN.",
        },
        Field {
            name: "is_input",
            kind: Type::Flag,
            required: false,
            description: "Whether `command` is input for the program that runs, instead of a command. Without a word it \
                          is not.",
        },
        Field {
            name: "timeout",
            kind: Type::Number,
            required: false,
            description: "How many seconds to wait for the command to end. Give one for commands that are silent for \
                          long, such as installations or downloads; the 30 seconds of silence do not count then.",
        },
        Field {
            name: "reset",
            kind: Type::Flag,
            required: false,
            description: "Whether to begin with a fresh shell, before `command` if there is one. For a shell that no \
                          longer answers: everything in it is killed and forgotten.",
        },
    ],
    risky: true,
};

/// Ends what is said of a command that still runs. Clients and models know it.
pub(super) const HINT: &str = "You may wait longer to see additional output by sending empty command '', send other commands to interact with the current process, send keys (\"C-c\", \"C-z\", \"C-d\") to interrupt/kill the previous command before sending your new command, or use the timeout parameter in terminal for future commands.";
/// Said after a reset.
pub(super) const WAS_RESET: &str = "Terminal session has been reset. All previous environment variables and session state have been cleared.";
/// Heads what a command printed that was begun by an earlier call.
pub(super) const STILL: &str = "[Below is the output of the previous command.]\n";

/// Why a text can't be run as one command.
pub(super) fn unfit(command: &str) -> Option<String> {
    if command.len() > TERMINAL_COMMAND_BYTES_MAX {
        return Some(format!(
            "The command is too long ({} bytes; the limit is {TERMINAL_COMMAND_BYTES_MAX}). Write it into a file with file_editor, and run that.",
            command.len()
        ));
    }
    if command.contains('\0') {
        return Some("The command has a NUL character in it, which no shell can read. Leave it out, or write \\0 with printf.".into());
    }
    if command.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(command).is_ok()
    {
        return Some(
            "The command is a JSON value, not a shell command. Give the command itself as text; to use data, write it into a file with file_editor or a here-document first.".into(),
        );
    }
    let commands = split::commands(command);
    (commands.len() > 1).then(|| {
        let listed: Vec<_> =
            commands.iter().enumerate().map(|(index, command)| format!("({}) {command}", index + 1)).collect();
        format!(
            "Cannot execute multiple commands at once.\nPlease run each command separately OR chain them into a single command via && or ;\nProvided commands:\n{}",
            listed.join("\n")
        )
    })
}
