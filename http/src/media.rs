//! The media type of a file, by its name alone.

use std::path::Path;

/// That of a PDF.
pub const PDF: &str = "application/pdf";
/// That of a file of which nothing is known.
const BYTES: &str = "application/octet-stream";

/// What a page can show, and what people keep beside it. By ending, in the order of the alphabet.
const TYPES: &[(&str, &str)] = &[
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("c", "text/x-csrc; charset=utf-8"),
    ("cpp", "text/x-c++src; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("diff", "text/x-diff; charset=utf-8"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("h", "text/x-chdr; charset=utf-8"),
    ("heic", "image/heic"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("java", "text/x-java; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("patch", "text/x-diff; charset=utf-8"),
    ("pdf", PDF),
    ("png", "image/png"),
    ("py", "text/x-python; charset=utf-8"),
    ("sh", "text/x-sh; charset=utf-8"),
    ("srt", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/x-wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// The type of the file at `path`; of text, as UTF-8.
#[must_use]
pub fn of(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.map(str::to_ascii_lowercase).unwrap_or_default();
    let found = TYPES.binary_search_by(|(known, _)| known.cmp(&ending.as_str()));
    let found = found.ok().and_then(|at| TYPES.get(at));
    found.map_or(BYTES, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_type() {
        assert!(TYPES.is_sorted());
        for (ending, kind) in TYPES {
            assert_eq!(of(Path::new(&format!("/a.b/c.{ending}"))), *kind);
            assert_eq!(kind.starts_with("text/"), kind.ends_with("; charset=utf-8"));
        }
        for (name, kind) in [
            ("/x/A.HTML", "text/html; charset=utf-8"),
            ("/x.html/y", BYTES),
            ("/x/.html", BYTES),
            ("/x/y.", BYTES),
            ("/x/y.html.zzz", BYTES),
            ("/", BYTES),
        ] {
            assert_eq!(of(Path::new(name)), kind, "{name}");
        }
    }
}
