//! A command as one text, into its words.

/// Splits a command as a POSIX shell does, without anything but quotes and backslashes.
pub(super) fn words(command: &str) -> Result<Vec<String>, &'static str> {
    const OPEN: &str = "No closing quotation";
    const LOOSE: &str = "No escaped character";
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut rest = command.chars();
    while let Some(next) = rest.next() {
        match next {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(rest.next().ok_or(LOOSE)?),
            '\'' => loop {
                let word = word.get_or_insert_default();
                match rest.next().ok_or(OPEN)? {
                    '\'' => break,
                    other => word.push(other),
                }
            },
            '"' => loop {
                let word = word.get_or_insert_default();
                match rest.next().ok_or(OPEN)? {
                    '"' => break,
                    '\\' => match rest.next().ok_or(OPEN)? {
                        escaped @ ('"' | '\\') => word.push(escaped),
                        other => word.extend(['\\', other]),
                    },
                    other => word.push(other),
                }
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        let check = |command: &str, expected: &[&str]| {
            assert_eq!(words(command).unwrap(), expected, "{command}")
        };
        check("", &[]);
        check(" a 'b c'  d", &["a", "b c", "d"]);
        check(r#"a\ b "c \"d\" \x" ''"#, &["a b", r#"c "d" \x"#, ""]);
        check("x'y'z", &["xyz"]);
        assert_eq!(words("a 'b"), Err("No closing quotation"));
        assert_eq!(words("a \"b"), Err("No closing quotation"));
        assert_eq!(words("a \\"), Err("No escaped character"));
    }
}
