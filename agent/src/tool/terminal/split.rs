//! Where a text ends one command and begins another: at a line's end that is in no quotes, parentheses, here-document
//! or compound command, and that follows no operator. Where that cannot be told, the text is taken for one command:
//! the shell will say what is wrong with it.

mod words;

/// The commands of `text`, trimmed; comments belong to the command that follows. One, if it cannot be told.
pub(super) fn commands(text: &str) -> Vec<&str> {
    let whole = || vec![text.trim()];
    let Some(ends) = Scan::new(text).ends() else {
        return whole();
    };
    let mut begin = 0;
    let mut found = Vec::new();
    for end in ends {
        found.extend(text.get(begin..end).map(str::trim));
        begin = end;
    }
    if found.is_empty() { whole() } else { found }
}

/// What a line's end is inside of.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Inside {
    /// `( ... )`, `$( ... )`: commands.
    Parentheses,
    /// `a=( ... )`, `f( )`: words.
    Words,
    /// `(( ... ))`, `$(( ... ))`: arithmetic, in which `<<` is a shift.
    Arithmetic,
    /// `${ ... }`.
    Parameter,
    /// `[[ ... ]]`.
    Test,
    /// `{ ... }`.
    Braces,
    /// `if ... fi`.
    If,
    /// `for`, `while`, `until`, `select`: up to `done`.
    Loop,
    /// `case ... esac`, with whether a pattern comes next.
    Case { pattern: bool },
    /// `` ` ... ` ``.
    Backticks,
    /// `" ... "`, within which substitutions open.
    Quotes,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    inside: Vec<Inside>,
    /// Whether a reserved word would be one here.
    fresh: bool,
    /// Whether the line so far holds anything, and the command goes on after it.
    begun: bool,
    open: bool,
    /// Delimiters of here-documents that begin with the next line, with whether tabs are taken off.
    documents: Vec<(String, bool)>,
    ends: Vec<usize>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            inside: Vec::new(),
            fresh: true,
            begun: false,
            open: false,
            documents: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, what: &str) -> bool {
        let is_there = self.rest().starts_with(what);
        if is_there {
            self.at += what.len();
        }
        is_there
    }

    fn innermost(&self) -> Option<Inside> {
        self.inside.last().copied()
    }

    fn enter(&mut self, inside: Inside) {
        self.inside.push(inside);
        self.begun = true;
        self.open = false;
    }

    /// Leaves `inside`, if that is where we are.
    fn leave(&mut self, inside: Inside) -> Option<()> {
        let is_there = self.inside.pop() == Some(inside);
        self.fresh = false;
        is_there.then_some(())
    }

    /// Where each command ends; `None` if it can't be told.
    fn ends(mut self) -> Option<Vec<usize>> {
        while let Some(letter) = self.peek() {
            if self.innermost() == Some(Inside::Quotes) {
                self.in_quotes(letter)?;
            } else {
                self.in_code(letter)?;
            }
        }
        if !self.inside.is_empty() || !self.documents.is_empty() {
            return None;
        }
        if self.begun {
            self.ends.push(self.text.len());
        } else if let Some(last) = self.ends.last_mut() {
            *last = self.text.len(); // a comment at the end
        }
        Some(self.ends)
    }

    fn in_quotes(&mut self, letter: char) -> Option<()> {
        if self.substitution() {
            return Some(());
        }
        self.at += letter.len_utf8();
        match letter {
            '"' => self.leave(Inside::Quotes)?,
            '\\' => self.skip_letter(),
            '`' => self.backtick()?,
            _ => {}
        }
        Some(())
    }

    fn in_code(&mut self, letter: char) -> Option<()> {
        if self.substitution() {
            self.fresh = false;
            return Some(());
        }
        match letter {
            '\n' => return self.line_end(),
            ' ' | '\t' | '\r' => self.at += 1,
            '#' if self.at_word() && self.innermost() != Some(Inside::Parameter) => {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            }
            '\'' | '"' | '\\' | '`' => return self.quoting(letter),
            '(' | ')' | '{' | '}' if self.innermost() == Some(Inside::Parameter) => {
                self.at += 1;
                if letter == '}' {
                    self.leave(Inside::Parameter)?;
                }
            }
            '(' => self.parenthesis(),
            ')' => return self.closing(),
            '<' if self.innermost() != Some(Inside::Arithmetic) => return self.redirection(),
            ';' | '&' | '|' if self.innermost() != Some(Inside::Test) => self.operator(letter),
            _ if self.at_word() => return self.word(),
            _ => {
                self.at += letter.len_utf8();
                self.went_on();
            }
        }
        Some(())
    }

    fn went_on(&mut self) {
        (self.fresh, self.begun, self.open) = (false, true, false);
    }

    fn skip_letter(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    /// Whether a word could begin here.
    fn at_word(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        before
            .chars()
            .next_back()
            .is_none_or(|letter| letter.is_whitespace() || "();&|<>`{}".contains(letter))
    }

    /// `$(`, `$((`, `${`, `$'`.
    fn substitution(&mut self) -> bool {
        if self.eat("$((") {
            self.enter(Inside::Arithmetic);
        } else if self.eat("$(") {
            self.enter(Inside::Parentheses);
            self.fresh = true;
        } else if self.eat("${") {
            self.enter(Inside::Parameter);
        } else {
            return false;
        }
        true
    }

    fn quoting(&mut self, letter: char) -> Option<()> {
        let ansi = self.text.get(..self.at).unwrap_or_default().ends_with('$');
        self.at += 1;
        self.went_on();
        match letter {
            '"' => self.enter(Inside::Quotes),
            '`' => self.backtick()?,
            '\\' => self.skip_letter(),
            _ => loop {
                let letter = self.peek()?;
                self.at += letter.len_utf8();
                match letter {
                    '\'' => break,
                    '\\' if ansi => self.skip_letter(),
                    _ => {}
                }
            },
        }
        Some(())
    }

    fn backtick(&mut self) -> Option<()> {
        match self
            .inside
            .iter()
            .rposition(|inside| *inside == Inside::Backticks)
        {
            Some(depth) if depth + 1 == self.inside.len() => self.leave(Inside::Backticks),
            Some(_) => None,
            None => {
                self.enter(Inside::Backticks);
                self.fresh = true;
                Some(())
            }
        }
    }

    fn parenthesis(&mut self) {
        let before = self.text.get(..self.at).unwrap_or_default();
        let after_word = before
            .chars()
            .next_back()
            .is_some_and(|letter| !letter.is_whitespace() && !";&|()<>`{!".contains(letter));
        let pattern = matches!(self.innermost(), Some(Inside::Case { pattern: true }));
        if pattern {
            self.at += 1; // the optional one before a pattern
            return;
        }
        let words = matches!(
            self.innermost(),
            Some(Inside::Words | Inside::Arithmetic | Inside::Test)
        );
        if !words && self.fresh && self.eat("((") {
            self.enter(Inside::Arithmetic);
        } else {
            self.at += 1;
            let words = words || after_word;
            self.enter(if words {
                Inside::Words
            } else {
                Inside::Parentheses
            });
            self.fresh = !words;
        }
    }

    fn closing(&mut self) -> Option<()> {
        match self.inside.last_mut() {
            Some(Inside::Case { pattern }) if *pattern => {
                *pattern = false;
                self.at += 1;
                self.fresh = true;
                self.open = false;
                Some(())
            }
            Some(Inside::Arithmetic) => {
                self.at += 1;
                // A single one closes nothing: `(( (a) ))` opens Words.
                if self.eat(")") {
                    self.leave(Inside::Arithmetic)
                } else {
                    None
                }
            }
            Some(Inside::Words) => {
                self.at += 1;
                self.leave(Inside::Words)?;
                // `f()`: its body follows, on the next line maybe.
                let before = self.text.get(..self.at).unwrap_or_default();
                let function = before.trim_end_matches(')').trim_end().ends_with('(');
                (self.fresh, self.open) = (function, function);
                Some(())
            }
            Some(Inside::Parentheses) => {
                self.at += 1;
                self.leave(Inside::Parentheses)
            }
            _ => None,
        }
    }

    fn operator(&mut self, letter: char) {
        let double =
            self.eat("&&") || self.eat("||") || self.eat(";;&") || self.eat(";;") || self.eat(";&");
        let text = self.text.get(..self.at).unwrap_or_default();
        let case_end =
            double && (text.ends_with(";;") || text.ends_with(";&") || text.ends_with(";;&"));
        if !double {
            self.at += 1;
            if letter == '|' {
                self.eat("&");
            }
        }
        if let (true, Some(Inside::Case { pattern })) = (case_end, self.inside.last_mut()) {
            *pattern = true;
        }
        let redirects = letter == '&' && !double && text.ends_with(['>', '<']); // `>&1`
        self.open = !case_end && (double || letter == '|');
        self.fresh = !redirects;
        self.begun = true;
    }

    /// `<`, of which `<<` begins a here-document.
    fn redirection(&mut self) -> Option<()> {
        self.went_on();
        if self.eat("<<<") || self.eat("<(") {
            if self.text.get(..self.at).unwrap_or_default().ends_with('(') {
                self.enter(Inside::Parentheses);
                self.fresh = true;
            }
            return Some(());
        }
        if !self.eat("<<") {
            self.at += 1;
            return Some(());
        }
        let tabs = self.eat("-");
        while self.eat(" ") || self.eat("\t") {}
        let mut delimiter = String::new();
        while let Some(letter) = self.peek() {
            match letter {
                letter if letter.is_whitespace() || ";&|()<>".contains(letter) => break,
                '\'' | '"' => {
                    self.at += 1;
                    let (quoted, _) = self.rest().split_once(letter)?;
                    delimiter.push_str(quoted);
                    self.at += quoted.len() + 1;
                }
                '\\' => {
                    self.at += 1;
                    delimiter.extend(self.peek());
                    self.skip_letter();
                }
                letter => {
                    delimiter.push(letter);
                    self.at += letter.len_utf8();
                }
            }
        }
        self.documents.push((delimiter, tabs));
        Some(())
    }

    fn line_end(&mut self) -> Option<()> {
        self.at += 1;
        for (delimiter, tabs) in std::mem::take(&mut self.documents) {
            loop {
                if self.rest().is_empty() {
                    return None; // a document without its end
                }
                let line = self.rest().split('\n').next().unwrap_or_default();
                let is_last = self.rest().len() == line.len();
                self.at += line.len() + usize::from(!is_last);
                let line = if tabs {
                    line.trim_start_matches('\t')
                } else {
                    line
                };
                if line == delimiter {
                    break;
                }
            }
        }
        if self.inside.is_empty() && !self.open && self.begun {
            self.ends.push(self.at);
            self.begun = false;
        }
        self.fresh = !matches!(
            self.innermost(),
            Some(Inside::Words | Inside::Arithmetic | Inside::Test)
        );
        Some(())
    }
}

#[cfg(test)]
mod tests;
