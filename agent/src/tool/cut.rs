//! Output too long to be told whole: its beginning and its end, and a word between them.

use crate::limits::TERMINAL_OUTPUT_CHARS_MAX;

/// Stands where something was left out.
pub(crate) const CLIPPED: &str = "<response clipped><NOTE>Due to the max output limit, only part of the full response has been shown to you.</NOTE>";

/// Cuts a text to `limit` characters, unless it has no more.
pub(crate) fn to(text: String, limit: usize) -> String {
    if text.len() <= limit || text.chars().count() <= limit {
        return text;
    }
    let (head, tail) = shares(limit);
    let mut cut = String::with_capacity(limit);
    cut.push_str(first(&text, head));
    cut.push_str(CLIPPED);
    cut.push_str(last(&text, tail));
    cut
}

fn shares(limit: usize) -> (usize, usize) {
    let left = limit.saturating_sub(CLIPPED.len()); // which is ASCII
    (left / 2, left - left / 2)
}

fn first(text: &str, chars: usize) -> &str {
    let end = text
        .char_indices()
        .nth(chars)
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

fn last(text: &str, chars: usize) -> &str {
    let from = chars
        .checked_sub(1)
        .and_then(|back| text.char_indices().nth_back(back));
    let begin = if chars == 0 {
        text.len()
    } else {
        from.map_or(0, |(at, _)| at)
    };
    text.get(begin..).unwrap_or(text)
}

/// Gathers output of any length in bounded memory: what it gives is the whole or, [cut](to), both ends.
#[derive(Default)]
pub(crate) struct Gathered {
    head: String,
    head_chars: usize,
    /// Everything since the start, or at least the end of it.
    tail: String,
    dropped: bool,
}

impl Gathered {
    pub(crate) fn push(&mut self, text: &str) {
        if self.head_chars < TERMINAL_OUTPUT_CHARS_MAX {
            let more = first(text, TERMINAL_OUTPUT_CHARS_MAX - self.head_chars);
            self.head.push_str(more);
            self.head_chars += more.chars().count();
        }
        let tail_bytes_max = 4 * TERMINAL_OUTPUT_CHARS_MAX;
        self.tail.push_str(text);
        if self.tail.len() > 2 * tail_bytes_max {
            let keep = last(&self.tail, TERMINAL_OUTPUT_CHARS_MAX).len();
            self.tail.drain(..self.tail.len() - keep);
            self.dropped = true;
        }
    }

    /// Keeps no more than the last `chars` characters.
    pub(crate) fn keep_last(&mut self, chars: usize) {
        let text = std::mem::take(self).take_all();
        let kept = last(&text, chars);
        if kept.len() < text.len() {
            self.push(CLIPPED);
            self.push("\n");
        }
        self.push(kept);
    }

    /// Everything since the last call, without white space at its end.
    pub(crate) fn take(&mut self) -> String {
        let mut text = std::mem::take(self);
        text.tail.truncate(text.tail.trim_end().len());
        text.take_all()
    }

    fn take_all(self) -> String {
        if !self.dropped {
            return to(self.tail, TERMINAL_OUTPUT_CHARS_MAX);
        }
        let (head, tail) = shares(TERMINAL_OUTPUT_CHARS_MAX);
        let ends = [first(&self.head, head), CLIPPED, last(&self.tail, tail)];
        ends.concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_both_ends_and_is_exactly_as_long_as_allowed() {
        let text: String = (0..20_000).map(|line| format!("{line}\n")).collect();
        let cut = to(text.clone(), 30_000);
        assert_eq!(cut.chars().count(), 30_000);
        let (head, tail) = cut.split_once(CLIPPED).unwrap();
        assert!(text.starts_with(head) && text.ends_with(tail));
        assert!(head.len().abs_diff(tail.len()) <= 1);
        assert_eq!(to("short".into(), 30_000), "short");
    }

    #[test]
    fn megabytes_take_no_more_than_their_ends() {
        let mut gathered = Gathered::default();
        let piece = "é0123456789".repeat(1000);
        gathered.push("first\n");
        for _ in 0..2000 {
            gathered.push(&piece);
            assert!(gathered.tail.capacity() + gathered.head.capacity() < 2 << 20);
        }
        gathered.push("last\n\n");
        let text = gathered.take();
        assert!(text.starts_with("first\n") && text.ends_with("9last"));
        assert_eq!(text.chars().count(), 30_000);
        assert_eq!(gathered.take(), "");
    }

    #[test]
    fn what_came_in_between_is_shortened_with_a_word() {
        let mut gathered = Gathered::default();
        gathered.push("abcdef");
        gathered.keep_last(10);
        assert_eq!(gathered.take(), "abcdef");
        gathered.push("abcdef");
        gathered.keep_last(2);
        assert_eq!(gathered.take(), format!("{CLIPPED}\nef"));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(text in "\\PC{0,400}", at in 0_usize..400, limit in 120_usize..300) {
            let mut split = at.min(text.len());
            while !text.is_char_boundary(split) { split -= 1; }
            let mut gathered = Gathered::default();
            gathered.push(&text[..split]);
            gathered.push(&text[split..]);
            prop_assert_eq!(gathered.take(), text.trim_end());
            prop_assert!(to(text, limit).chars().count() <= limit.max(CLIPPED.len()));
        }
    }
}
