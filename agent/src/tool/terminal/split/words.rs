//! Reserved words, which open and close compound commands.

use super::{Inside, Scan};

impl Scan<'_> {
    /// A word, which may be a reserved one.
    pub(super) fn word(&mut self) -> Option<()> {
        let rest = self.rest();
        let end =
            rest.find(|letter: char| letter.is_whitespace() || "'\"\\`$();&|<>".contains(letter));
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if word.is_empty() {
            self.skip_letter(); // a lone `$`
            self.went_on();
            return Some(());
        }
        let goes_on = rest
            .get(word.len()..)
            .unwrap_or_default()
            .starts_with(['\'', '"', '\\', '`', '$']);
        let pattern = matches!(self.innermost(), Some(Inside::Case { pattern: true }));
        let reserved = self.fresh
            && !goes_on
            && !matches!(self.innermost(), Some(Inside::Words | Inside::Arithmetic));
        self.at += word.len();
        self.begun = true;
        self.open = false;
        if self.innermost() == Some(Inside::Test) {
            return if word == "]]" {
                self.leave(Inside::Test)
            } else {
                Some(())
            };
        }
        if pattern && word == "esac" {
            return self.leave(Inside::Case { pattern: true });
        }
        if !reserved || pattern {
            self.fresh = false;
            return Some(());
        }
        match word {
            "if" => self.enter(Inside::If),
            "while" | "until" => self.enter(Inside::Loop),
            "for" | "select" => {
                self.enter(Inside::Loop);
                self.fresh = false;
                if self.rest().trim_start().starts_with("((") {
                    self.at += self.rest().find("((").unwrap_or_default() + 2;
                    self.enter(Inside::Arithmetic);
                }
                return Some(());
            }
            "case" => {
                // Up to `in`, the word is no pattern, but nothing in it closes anything either.
                self.enter(Inside::Case { pattern: false });
                self.fresh = false;
                return self.case_word();
            }
            "{" => self.enter(Inside::Braces),
            "[[" => {
                self.enter(Inside::Test);
                self.fresh = false;
                return Some(());
            }
            "fi" => return self.leave(Inside::If),
            "done" => return self.leave(Inside::Loop),
            "}" => return self.leave(Inside::Braces),
            "esac" => return self.leave(Inside::Case { pattern: false }),
            "function" => {
                let rest = self.rest().trim_start_matches([' ', '\t']);
                let name = rest.find(char::is_whitespace).unwrap_or(rest.len());
                self.at = self.text.len() - rest.len() + name;
                self.open = true;
                return Some(());
            }
            "then" | "do" | "else" | "elif" | "!" | "time" | "coproc" => return Some(()),
            _ => {
                self.fresh = false;
                return Some(());
            }
        }
        self.fresh = true;
        Some(())
    }

    /// The rest of `case WORD in`, unless it is more than a word: then it can't be told.
    fn case_word(&mut self) -> Option<()> {
        let line = self.rest();
        let at = line.find(|letter: char| !letter.is_whitespace())?;
        let mut quote = None;
        let mut depth = 0_usize;
        let mut end = None;
        for (index, letter) in line.char_indices().skip_while(|(index, _)| *index < at) {
            match (quote, letter) {
                (Some(open), letter) if letter == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(letter),
                (None, '(' | '{') => depth += 1,
                (None, ')' | '}') => depth = depth.checked_sub(1)?,
                (None, letter) if letter.is_whitespace() && depth == 0 => {
                    end = Some(index);
                    break;
                }
                _ => {}
            }
        }
        self.at += end?;
        while self.peek().is_some_and(char::is_whitespace) {
            self.skip_letter();
        }
        if !self.eat("in") {
            return None;
        }
        if let Some(Inside::Case { pattern }) = self.inside.last_mut() {
            *pattern = true;
        }
        self.fresh = true;
        Some(())
    }
}
