//! How files, snippets, images and directories are shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Outcome;
use super::place::{Entry, NAMES_MAX, Place};
use crate::limits::{SHOWN_IMAGE_BYTES_MAX, VIEW_CHARS_MAX, VIEW_ENTRIES_MAX};
use crate::tool::Content;

/// Lines that a snippet shows on either side of a change.
const AROUND_LINES: usize = 4;

/// A file with line numbers, or the lines of `range` (first and last, -1 for the end).
pub(super) fn file(path: &str, content: &str, range: Option<&[i64]>) -> Outcome<String> {
    let total = content.lines().count();
    let mut note = String::new();
    let (first, last) = match range {
        None => (1, total),
        Some(&[first, last]) => {
            let start = usize::try_from(first)
                .ok()
                .filter(|first| (1..=total).contains(first));
            let start = start.ok_or_else(|| {
                format!(
                    "Invalid `view_range` parameter: [{first}, {last}]. Its first element `{first}` should be within the range of lines of the file: [1, {total}]."
                )
            })?;
            let end = match usize::try_from(last) {
                Ok(end) if end > total => {
                    note = format!(
                        "NOTE: We only show up to {total} since there're only {total} lines in this file.\n"
                    );
                    total
                }
                Ok(end) if end >= start => end,
                Err(_) if last == -1 => total,
                _ => {
                    return Err(format!(
                        "Invalid `view_range` parameter: [{first}, {last}]. Its second element `{last}` should be greater than or equal to the first element `{first}`."
                    ));
                }
            };
            (start, end)
        }
        Some(range) => {
            return Err(format!(
                "Invalid `view_range` parameter: {range:?}. It should be a list of two integers."
            ));
        }
    };
    let lines = numbered(content, first, last);
    Ok(format!(
        "{note}Here's the result of running `cat -n` on {path}:\n{lines}"
    ))
}

/// The changed lines `first` to `last` of a file, with a few around them.
pub(super) fn snippet(content: &str, first: usize, last: usize) -> String {
    numbered(
        content,
        first.saturating_sub(AROUND_LINES).max(1),
        last + AROUND_LINES,
    )
}

fn numbered(content: &str, first: usize, last: usize) -> String {
    let mut shown = String::new();
    let mut left = VIEW_CHARS_MAX;
    let lines = content.lines().enumerate().take(last).skip(first - 1);
    for (index, line) in lines {
        let number = index + 1;
        match line.char_indices().nth(left) {
            None => {
                shown.push_str(&format!("{number:6}\t{line}\n"));
                left = left.saturating_sub(line.chars().count() + 1);
            }
            Some((end, _)) => {
                let begun = number == first; // one line that alone is too much
                if begun {
                    shown.push_str(&format!(
                        "{number:6}\t{}\n",
                        line.get(..end).unwrap_or_default()
                    ));
                }
                let next = if begun { number + 1 } else { number };
                shown.push_str(&format!(
                    "[Cut here: this is as much as is shown at once. View on with `view_range` from line {next}, or find the place with grep in the terminal.]\n"
                ));
                break;
            }
        }
    }
    shown
}

/// What an image of this name is, if it is one.
pub(super) fn image_kind(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "bmp" => "image/bmp",
        _ => return None,
    })
}

/// An image, to be looked at.
pub(super) fn image(path: &str, kind: &str, place: &Place) -> Outcome<Vec<Content>> {
    let bytes = place.read(path, SHOWN_IMAGE_BYTES_MAX)?;
    let url = format!("data:{kind};base64,{}", STANDARD.encode(bytes));
    let told = format!("Image file {path} read successfully. Displaying image content.");
    Ok(vec![Content::text(told), Content::image(url)])
}

/// What is in a directory, down to two levels.
pub(super) fn directory(path: &str, place: &Place) -> Outcome<String> {
    let root = if path.len() > 1 {
        path.trim_end_matches('/')
    } else {
        ""
    };
    let mut shown = format!(
        "Here's the files and directories up to 2 levels deep in {path}, excluding hidden items:\n{root}/"
    );
    let listing = place.list(path)?;
    let mut left = VIEW_ENTRIES_MAX;
    let hidden = listing.iter().filter(|entry| entry.is_hidden()).count();
    let mut cut = !push_entries(
        &mut shown,
        root,
        &listing,
        &mut left,
        |shown, entry, left| {
            let inner = place.list_below(&entry.name).unwrap_or_default();
            let root = format!("{root}/{}", entry.name);
            push_entries(shown, &root, &inner, left, |_, _, _| true)
        },
    );
    cut |= listing.len() >= NAMES_MAX;
    if cut {
        shown.push_str(&format!(
            "\n[Cut here: only the first {VIEW_ENTRIES_MAX} entries are listed. View a directory further down, or use find in the terminal.]"
        ));
    }
    if hidden > 0 {
        shown.push_str(&format!(
            "\n\n{hidden} hidden files/directories in this directory are excluded. You can use 'ls -la {path}' to see them."
        ));
    }
    Ok(shown)
}

/// Adds a line for each entry, and calls `below` after a directory's; false when there was no room left.
fn push_entries(
    shown: &mut String,
    root: &str,
    entries: &[Entry],
    left: &mut usize,
    below: impl Fn(&mut String, &Entry, &mut usize) -> bool,
) -> bool {
    for entry in entries.iter().filter(|entry| !entry.is_hidden()) {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        let end = if entry.is_directory { "/" } else { "" };
        shown.push_str(&format!("\n{root}/{}{end}", entry.name));
        if entry.is_directory && !entry.is_link && !below(shown, entry, left) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_end_with_a_word() {
        let content: String = (1..=5000).map(|line| format!("line {line}\n")).collect();
        let shown = file("/f", &content, None).unwrap();
        assert!(shown.len() < VIEW_CHARS_MAX * 2);
        let next = shown
            .split_once("from line ")
            .unwrap()
            .1
            .split_once(',')
            .unwrap()
            .0;
        let rest = file("/f", &content, Some(&[next.parse().unwrap(), -1])).unwrap();
        assert!(rest.contains(&format!("{next:>6}\tline {next}\n")));
        assert!(!shown.contains(&format!("\tline {next}\n")));
    }

    #[test]
    fn one_endless_line_is_cut() {
        let shown = file("/f", &"é".repeat(50_000), None).unwrap();
        assert_eq!(shown.matches('é').count(), VIEW_CHARS_MAX);
        assert!(shown.contains("from line 2,"));
    }

    #[test]
    fn ranges_of_three_or_of_an_empty_file_are_refused() {
        for range in [&[][..], &[1], &[1, 2, 3]] {
            let told = file("/f", "a\n", Some(range)).unwrap_err();
            assert_eq!(
                told,
                format!(
                    "Invalid `view_range` parameter: {range:?}. It should be a list of two integers."
                )
            );
        }
        assert!(
            file("/f", "", Some(&[1, 1]))
                .unwrap_err()
                .contains("[1, 0]")
        );
        assert!(file("/f", "a", Some(&[i64::MIN, i64::MAX])).is_err());
        assert!(file("/f", "a", Some(&[1, i64::MIN])).is_err());
        assert_eq!(
            file("/f", "", None).unwrap(),
            "Here's the result of running `cat -n` on /f:\n"
        );
    }
}
