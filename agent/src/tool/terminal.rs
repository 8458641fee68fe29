//! Runs commands in a shell that stays.
//!
//! One bash for a conversation, on a terminal of its own, started at the first command: directory, variables,
//! functions and jobs stay from one call to the next. A command that takes long is left to run and can be asked
//! for, typed into and interrupted. A shell that ends is replaced, with a word.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::spec::Spec;
use super::{
    Action, Call, Content, Failure, Metadata, Observation, Setup, TerminalAction,
    TerminalObservation, Tool,
};
use crate::limits::{
    TERMINAL_CALL_BYTES_MAX, TERMINAL_CANCEL_MS, TERMINAL_INPUT_BYTES_MAX, TERMINAL_INTERRUPT_MS,
    TERMINAL_QUIET_MS, TERMINAL_TIMEOUT_S_MAX, TERMINAL_WAIT_S_MAX,
};

mod keys;
mod pty;
mod reading;
mod screen;
mod script;
mod shell;
mod split;
mod words;

use keys::Keys;
use script::Ended;
use shell::{Event, NotStarted, Shell};
pub(super) use words::SPEC;
use words::{HINT, STILL, WAS_RESET, unfit};

/// A conversation's terminal.
pub struct Terminal {
    setup: Setup,
    shell: Option<Shell>,
    running: Option<Running>,
    /// What the model is to be told with the next command's output.
    word: String,
    quiet: Duration,
    python: (OsString, String),
}

/// A command that has not ended.
struct Running {
    /// By a cancelled call: its output goes to nobody.
    interrupted: bool,
}

impl Terminal {
    /// A terminal whose shell starts with its first command.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.clone(),
            shell: None,
            running: None,
            word: String::new(),
            quiet: Duration::from_millis(TERMINAL_QUIET_MS),
            python: (OsString::new(), String::new()),
        }
    }

    fn carry_out(
        &mut self,
        action: &TerminalAction,
        call: &Call<'_>,
    ) -> Result<TerminalObservation, Failure> {
        let input = action.command.as_str();
        let is_empty = input.trim().is_empty();
        if action.reset {
            return self.reset(action, call);
        }
        if is_empty || action.is_input {
            self.end_interrupted();
            return match (&self.running, is_empty) {
                (None, true) => {
                    Ok(self.refusal(input, "No previous running command to retrieve logs from."))
                }
                (None, false) => {
                    Ok(self.refusal(input, "No previous running command to interact with."))
                }
                (Some(_), _) => self.go_on(action, call),
            };
        }
        if let Some(why) = unfit(input) {
            return Ok(self.refusal(input, &why));
        }
        self.end_interrupted();
        if self.running.is_some() && !self.shell.as_ref().is_none_or(Shell::has_ended) {
            return Ok(self.busy(input));
        }
        self.start(action, call)
    }

    fn reset(
        &mut self,
        action: &TerminalAction,
        call: &Call<'_>,
    ) -> Result<TerminalObservation, Failure> {
        let input = action.command.as_str();
        if action.is_input {
            return Ok(self.refusal(input, "Cannot use reset=True with is_input=True"));
        }
        if let Some(why) = unfit(input) {
            return Ok(self.refusal(input, &why));
        }
        self.shell = None;
        self.running = None;
        self.word.clear();
        if input.trim().is_empty() {
            let mut seen = self.seen("[RESET]", WAS_RESET.into());
            seen.exit_code = Some(0);
            return Ok(seen);
        }
        let mut seen = self.start(action, call)?;
        seen.command = Some(format!("[RESET] {input}"));
        if let Some(Content::Text { text, .. }) = seen.content.first_mut() {
            *text = format!("{WAS_RESET}\n\n{text}");
        }
        Ok(seen)
    }

    /// Runs a new command, in a fresh shell if there is none.
    fn start(
        &mut self,
        action: &TerminalAction,
        call: &Call<'_>,
    ) -> Result<TerminalObservation, Failure> {
        let command = action.command.as_str();
        self.running = None;
        if self.shell.as_ref().is_some_and(Shell::has_ended) {
            self.bury("The shell ended by itself");
        }
        if self.shell.is_none() {
            match self.fresh_shell(call) {
                Ok(shell) => self.shell = Some(shell),
                Err(NotStarted::Cancelled) => return Err(Failure::Interrupted),
                Err(NotStarted::Silent) => {
                    return Ok(self.refusal(command, "The shell did not start in time. Try again."));
                }
                Err(NotStarted::Refused(why)) => {
                    return Ok(
                        self.refusal(command, &format!("The shell could not be started: {why}"))
                    );
                }
            }
        }
        let Some(shell) = &mut self.shell else {
            return Err(Failure::Interrupted);
        };
        let begun = shell.export_secrets(call.secrets, call.cancel).and_then(|refused| {
            for name in refused {
                self.word.push_str(&format!(
                    "[{name} is not in the environment: no variable can hold its value, which has a NUL byte in it or is longer than 128 KiB.]\n"
                ));
            }
            shell.begin(command)
        });
        if begun.is_err() {
            self.shell = None;
            if call.cancel.is_cancelled() {
                return Err(Failure::Interrupted);
            }
            return Ok(self.refusal(
                command,
                "The shell no longer took commands, and was replaced by a fresh one. The command was not run: run it again.",
            ));
        }
        self.running = Some(Running { interrupted: false });
        self.watch(action, call, None, true)
    }

    /// A shell with the user's own start-up file or, if that keeps it from starting, without.
    fn fresh_shell(&mut self, call: &Call<'_>) -> Result<Shell, NotStarted> {
        match Shell::start(&self.setup, false, call.cancel) {
            Err(NotStarted::Silent) => {
                let shell = Shell::start(&self.setup, true, call.cancel)?;
                self.word
                    .push_str("[~/.bashrc kept the shell from starting, and was left out.]\n");
                Ok(shell)
            }
            result => result,
        }
    }

    /// Types into the running command, if there is anything to type, and waits for it.
    fn go_on(
        &mut self,
        action: &TerminalAction,
        call: &Call<'_>,
    ) -> Result<TerminalObservation, Failure> {
        let input = action.command.as_str();
        let mut control = None;
        if action.is_input && !input.is_empty() {
            if input.len() > TERMINAL_INPUT_BYTES_MAX {
                let why = format!(
                    "The input is too long ({} bytes; the limit is {TERMINAL_INPUT_BYTES_MAX}). Nothing was typed. Write it into a file.",
                    input.len()
                );
                return Ok(self.refusal(input, &why));
            }
            let keys = Keys::named(input);
            control = keys.control;
            let typed = self.shell.as_ref().map(|shell| match control {
                Some('C' | '\\') => shell.interrupt(&keys.bytes),
                _ => shell.type_in(&keys.bytes),
            });
            if let Some(Err(_)) = typed {
                return Ok(self.refusal(
                    input,
                    "The program does not read its input, and there is no room for more. Interrupt it (C-c), or reset the terminal.",
                ));
            }
        }
        self.watch(action, call, control, false)
    }

    /// Waits for the running command, and tells what came.
    fn watch(
        &mut self,
        action: &TerminalAction,
        call: &Call<'_>,
        control: Option<char>,
        first: bool,
    ) -> Result<TerminalObservation, Failure> {
        let timeout = action
            .timeout
            .map(|seconds| seconds.clamp(0.0, TERMINAL_TIMEOUT_S_MAX));
        let limit = timeout.map_or(
            Duration::from_secs(TERMINAL_WAIT_S_MAX),
            Duration::from_secs_f64,
        );
        let quiet = timeout.is_none().then_some(self.quiet);
        let Some(shell) = &mut self.shell else {
            return Err(Failure::Interrupted);
        };
        let why = match shell.wait(quiet, Instant::now() + limit, call.cancel) {
            Event::Report(report) => {
                return Ok(self.completed(action, Ended::read(report), control));
            }
            Event::Cancelled => {
                let ended = interrupt(shell, Duration::from_millis(TERMINAL_CANCEL_MS));
                self.running = (!ended).then_some(Running { interrupted: true });
                return Err(Failure::Interrupted);
            }
            Event::Ended => return Ok(self.lost(action)),
            Event::Quiet => format!(
                "The command has no new output after {} seconds.",
                self.quiet.as_secs()
            ),
            Event::Late => format!(
                "The command timed out after {:?} seconds.",
                limit.as_secs_f64()
            ),
            Event::Flood => format!(
                "The command has printed more than {} MiB, and waits until you ask for more.",
                TERMINAL_CALL_BYTES_MAX >> 20
            ),
        };
        let output = shell.take_output();
        let mut seen = self.seen(&action.command, output);
        seen.exit_code = Some(-1);
        let still = if first { "" } else { STILL };
        seen.metadata.prefix = format!("{}{still}", std::mem::take(&mut self.word));
        seen.metadata.suffix = format!("\n[{why} {HINT}]");
        Ok(seen)
    }

    fn completed(
        &mut self,
        action: &TerminalAction,
        ended: Option<Ended>,
        control: Option<char>,
    ) -> TerminalObservation {
        self.running = None;
        let ended = ended.unwrap_or_default();
        let python = self.python(&ended.path);
        let mut seen = self.seen(&action.command, String::new());
        if let Some(shell) = &self.shell {
            seen.content = vec![Content::text(shell.take_output())];
            seen.metadata.username = Some(shell.user.clone());
            seen.metadata.hostname = Some(shell.host.clone());
        }
        let sent = control
            .map(|letter| format!(" CTRL+{letter} was sent."))
            .unwrap_or_default();
        seen.exit_code = Some(ended.status);
        seen.metadata.exit_code = ended.status;
        seen.metadata.pid = ended.background;
        seen.metadata.working_dir = Some(ended.directory);
        seen.metadata.py_interpreter_path = Some(python);
        seen.metadata.prefix = std::mem::take(&mut self.word);
        seen.metadata.suffix = format!(
            "\n[The command completed with exit code {}.{sent}]",
            ended.status
        );
        seen
    }

    /// Of a command that ended its shell.
    fn lost(&mut self, action: &TerminalAction) -> TerminalObservation {
        self.running = None;
        let output = self
            .shell
            .as_ref()
            .map(Shell::take_output)
            .unwrap_or_default();
        self.bury("The command ended the shell");
        let mut seen = self.seen(&action.command, String::new());
        let word = std::mem::take(&mut self.word);
        let text = [output.as_str(), word.trim_end()];
        seen.content = vec![Content::text(text.join(if output.is_empty() {
            ""
        } else {
            "\n"
        }))];
        seen.is_error = true;
        seen.exit_code = Some(-1);
        seen
    }

    /// Clears an ended shell away and leaves a word about it.
    fn bury(&mut self, how: &str) {
        let exit = self.shell.take().and_then(Shell::close);
        let exit = exit.map(|exit| format!(" ({exit})")).unwrap_or_default();
        self.word.push_str(&format!(
            "[{how}{exit}. The next command runs in a fresh one, in the first directory and without what was set. Avoid a top-level `exit`; test a status with `if` or `[ ... ]` instead.]\n"
        ));
    }

    /// Waits a little for a command that a cancelled call has interrupted; what does not end is killed with its shell.
    fn end_interrupted(&mut self) {
        if !self
            .running
            .as_ref()
            .is_some_and(|running| running.interrupted)
        {
            return;
        }
        let limit = Duration::from_millis(TERMINAL_INTERRUPT_MS);
        if self
            .shell
            .as_mut()
            .is_some_and(|shell| !interrupt(shell, limit))
        {
            self.shell = None;
            self.word.push_str("[An interrupted command did not end, and was killed with its shell. This is a fresh one.]\n");
        }
        self.running = None;
    }

    fn busy(&self, input: &str) -> TerminalObservation {
        let output = self
            .shell
            .as_ref()
            .map(Shell::take_output)
            .unwrap_or_default();
        let mut seen = self.seen(input, output);
        seen.is_error = true;
        seen.exit_code = Some(-1);
        seen.metadata.prefix = STILL.into();
        seen.metadata.suffix = format!(
            "\n[Your command \"{input}\" is NOT executed. The previous command is still running - You CANNOT send new commands until the previous command is completed. By setting `is_input` to `true`, you can interact with the current process: {HINT}]"
        );
        seen
    }

    /// Of a call that ran nothing.
    fn refusal(&self, input: &str, why: &str) -> TerminalObservation {
        TerminalObservation {
            is_error: true,
            ..self.seen(input, why.into())
        }
    }

    fn seen(&self, input: &str, text: String) -> TerminalObservation {
        TerminalObservation {
            content: vec![Content::text(text)],
            command: Some(input.into()),
            metadata: Metadata::default(),
            full_output_save_dir: self.setup.output_dir.clone(),
            ..TerminalObservation::default()
        }
    }

    /// Where `python` is on this `PATH`, empty for nowhere.
    fn python(&mut self, path: &OsString) -> String {
        if self.python.0 != *path {
            let places = ["python", "python3"].into_iter().flat_map(|name| {
                std::env::split_paths(path)
                    .filter(|place| place.is_absolute())
                    .map(move |place| place.join(name))
            });
            let is_program = |place: &std::path::PathBuf| {
                place
                    .metadata()
                    .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
            };
            let found = places.into_iter().find(is_program);
            let found = found
                .map(|place| place.to_string_lossy().into_owned())
                .unwrap_or_default();
            self.python = (path.clone(), found);
        }
        self.python.1.clone()
    }
}

impl Tool for Terminal {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn secret_text<'a>(&self, action: &'a Action) -> Option<&'a str> {
        let Action::Terminal(action) = action else {
            return None;
        };
        let runs = !action.is_input && !action.command.trim().is_empty();
        let idle = action.reset
            || self
                .running
                .as_ref()
                .is_none_or(|running| running.interrupted);
        (runs && idle).then_some(action.command.as_str())
    }

    fn run(&mut self, action: &Action, call: &Call<'_>) -> Result<Observation, Failure> {
        let Action::Terminal(action) = action else {
            return Err(Failure::OtherTool);
        };
        if call.cancel.is_cancelled() {
            return Err(Failure::Interrupted);
        }
        self.carry_out(action, call).map(Observation::Terminal)
    }
}

/// Interrupts what runs until it ends, for as long as `limit`, and drops its output. Once is not always enough: a
/// shell that is just starting a program notes the interrupt and waits for the program all the same.
fn interrupt(shell: &mut Shell, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        let _ = shell.interrupt(b"\x03");
        let until = (Instant::now() + Duration::from_millis(TERMINAL_CANCEL_MS / 4)).min(end);
        match shell.wait(None, until, &super::Cancel::default()) {
            Event::Report(_) => {
                let _ = shell.take_output();
                return true;
            }
            Event::Late | Event::Flood if Instant::now() < end => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
