//! Plain tables: a figure, its spread, its bar, and whether the bar was met.

use std::process::ExitCode;

use crate::Result;
use crate::rounds::Spread;
use crate::setting::{Setting, machine};

/// What a figure has to be.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    /// Not larger.
    AtMost(f64),
    /// Not smaller.
    AtLeast(f64),
    /// It only tells.
    None,
}

impl Bar {
    fn meets(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
            Self::None => true,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("at most {most}"),
            Self::AtLeast(least) => format!("at least {least}"),
            Self::None => String::new(),
        }
    }
}

/// Prints figures and remembers which bars were missed.
pub struct Report {
    /// How the bench runs.
    pub setting: Setting,
    table: String,
    held: usize,
    missed: Vec<String>,
}

impl Report {
    /// Begins a table. `setting` is what the figures below it depend on.
    pub fn table(&mut self, title: &str, setting: &str) {
        title.clone_into(&mut self.table);
        println!("\n{title}\n  ({setting})");
        println!("  {:<58} {:>9} {:>21}  bar", "", "median", "min .. max");
    }

    /// A figure with its spread over the rounds; its median is held against `bar`.
    pub fn figure(&mut self, what: &str, spread: &Spread, unit: &str, bar: Bar) {
        let range = format!("{} .. {}", short(spread.min()), short(spread.max()));
        self.line(what, spread.median(), &range, unit, bar);
    }

    /// A single figure.
    pub fn single(&mut self, what: &str, figure: f64, unit: &str, bar: Bar) {
        self.line(what, figure, "", unit, bar);
    }

    fn line(&mut self, what: &str, figure: f64, range: &str, unit: &str, bar: Bar) {
        let verdict = match bar {
            Bar::None => "",
            _ if bar.meets(figure) => "PASS",
            _ => "MISS",
        };
        self.held += usize::from(!verdict.is_empty());
        let what_unit = if unit.is_empty() {
            what.to_owned()
        } else {
            format!("{what}, {unit}")
        };
        let line = format!(
            "  {what_unit:<58} {:>9} {range:>21}  {:<14} {verdict}",
            short(figure),
            bar.text()
        );
        println!("{}", line.trim_end());
        if verdict == "MISS" {
            let table = &self.table;
            self.missed
                .push(format!("{table}: {what_unit}: {}", short(figure)));
        }
    }

    /// A line of text below the figures.
    pub fn note(&self, text: &str) {
        println!("  {text}");
    }

    fn finish(self) -> ExitCode {
        println!();
        for missed in &self.missed {
            println!("MISS  {missed}");
        }
        match (self.held, self.missed.len()) {
            (0, _) => println!("No bar was held."),
            (_, 0) => println!("All bars met."),
            _ => {}
        }
        if self.setting.gate && !self.missed.is_empty() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Three digits that matter.
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 || figure == 0.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

/// A bench's main: reads the command line, runs `bench`, tells what was missed.
pub fn run(name: &str, bench: impl FnOnce(&mut Report) -> Result<()>) -> ExitCode {
    let setting = match Setting::from_args(std::env::args().skip(1)) {
        Ok(setting) => setting,
        Err(usage) => {
            println!("{usage}");
            return ExitCode::from(2);
        }
    };
    println!("{name}: {}, {} rounds", machine(), setting.rounds());
    if cfg!(debug_assertions) {
        println!("Built without --release: the figures mean nothing.");
    }
    let mut report = Report {
        setting,
        table: String::new(),
        held: 0,
        missed: Vec::new(),
    };
    match bench(&mut report) {
        Ok(()) => report.finish(),
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_holds_on_its_side_and_not_for_what_is_no_number() {
        assert!(Bar::AtMost(2.0).meets(2.0) && !Bar::AtMost(2.0).meets(2.1));
        assert!(Bar::AtLeast(2.0).meets(2.0) && !Bar::AtLeast(2.0).meets(1.9));
        assert!(!Bar::AtMost(2.0).meets(f64::NAN) && !Bar::AtLeast(2.0).meets(f64::NAN));
    }
}
