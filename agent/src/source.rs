//! Where a named secret comes from, and how that is written down.
//!
//! ```text
//! kind 1 | fields, each: length 4, bytes        numbers are big-endian
//! 0  a static value that is not set             -
//! 1  static value                               value
//! 2  a secret of the vault                      holder, name
//! 3  LookupSecret of our own                    holder, name, URL, headers: name, value ...
//! 4  LookupSecret elsewhere                     URL, headers: name, value ...
//! ```
//! A holder is `l` for whoever may use a server without session keys, or `k` and a key's id. The header with a
//! session key of ours is never written down.

use strongroom_vault::{Name, Plaintext, never_impl};

use crate::limits::{LOOKUP_HEADERS_BYTES_MAX, LOOKUP_HEADERS_MAX, LOOKUP_URL_BYTES_MAX};

/// A source as a client gives it.
pub enum Source {
    /// The value itself. `None`: the name is there, and has no value.
    Static(Option<Plaintext>),
    /// The secret of this name in the vault, as it is at each use.
    Vault(Name),
    /// Whatever a GET of this URL answers at each use.
    Lookup {
        /// Absolute, or a path of this server.
        url: String,
        /// Names and values.
        headers: Vec<(String, Plaintext)>,
    },
}

never_impl!(Source: std::fmt::Debug, Clone);

/// What names a session key through all its rotations. No secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// An id, as the server gives them to its keys.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// In whose name a secret of the vault is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A process of this machine, on a server without session keys, or whoever owns the data.
    Local,
    /// Whoever has this session key.
    Key(KeyId),
}

/// Who may read what: answered by the server, which knows its session keys.
pub trait Rights: Send + Sync {
    /// Whose session key this is; `None` when it is none of this server's. A server without keys says
    /// [`Holder::Local`], whatever the key.
    fn holder(&self, key: &[u8]) -> Option<Holder>;

    /// Whether this secret of the vault may be read in the name of `holder`. Asked at each use.
    fn may_read(&self, holder: &Holder, name: &Name) -> bool;
}

/// A source as it is kept: parsed, with a key's id in the place of the key. The bytes of secrets are lent.
#[derive(Clone, Copy)]
pub(crate) enum Kept<'a> {
    Static(Option<&'a [u8]>),
    Vault {
        holder: &'a Holder,
        name: &'a str,
    },
    Own {
        holder: &'a Holder,
        name: &'a str,
        url: &'a str,
        headers: &'a [(String, Plaintext)],
    },
    Foreign {
        url: &'a str,
        headers: &'a [(String, Plaintext)],
    },
}

impl Kept<'_> {
    pub(crate) fn to_bytes(self) -> Plaintext {
        let written = |out: &mut dyn FnMut(&[u8])| match self {
            Self::Static(None) => out(&[0]),
            Self::Static(Some(value)) => {
                out(&[1]);
                field(out, &[value]);
            }
            Self::Vault { holder, name } => {
                out(&[2]);
                holder.write(out);
                field(out, &[name.as_bytes()]);
            }
            Self::Own {
                holder,
                name,
                url,
                headers,
            } => {
                out(&[3]);
                holder.write(out);
                field(out, &[name.as_bytes()]);
                write_lookup(out, url, headers);
            }
            Self::Foreign { url, headers } => {
                out(&[4]);
                write_lookup(out, url, headers);
            }
        };
        let mut length = 0;
        written(&mut |piece| length += piece.len());
        let filled = Plaintext::fill(length, |mut room| {
            written(&mut |piece| {
                // Measured above: the pieces fit.
                if let Some((here, rest)) =
                    std::mem::take(&mut room).split_at_mut_checked(piece.len())
                {
                    here.copy_from_slice(piece);
                    room = rest;
                }
            });
            Ok::<(), std::convert::Infallible>(())
        });
        match filled {
            Ok(bytes) => bytes,
            Err(never) => match never {},
        }
    }
}

impl Holder {
    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Local => field(out, &[b"l"]),
            Self::Key(id) => field(out, &[b"k", id.as_str().as_bytes()]),
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b'l', []) => Some(Self::Local),
            (b'k', id) => Some(Self::Key(KeyId::new(std::str::from_utf8(id).ok()?))),
            _ => None,
        }
    }
}

fn write_lookup(out: &mut dyn FnMut(&[u8]), url: &str, headers: &[(String, Plaintext)]) {
    field(out, &[url.as_bytes()]);
    for (name, value) in headers {
        field(out, &[name.as_bytes()]);
        field(out, &[value.expose()]);
    }
}

fn field(out: &mut dyn FnMut(&[u8]), parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // No field is longer than a value of the vault, which is far below 4 GiB.
    out(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    parts.iter().for_each(|part| out(part));
}

/// A kept source, read back.
pub(crate) enum Read<'a> {
    Static(Option<&'a [u8]>),
    Vault {
        holder: Holder,
        name: &'a str,
    },
    Own {
        holder: Holder,
        name: &'a str,
        url: &'a str,
        headers: Vec<(&'a str, &'a [u8])>,
    },
    Foreign {
        url: &'a str,
        headers: Vec<(&'a str, &'a [u8])>,
    },
}

impl<'a> Read<'a> {
    /// `None` when these are not the bytes of a source.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let mut fields = Fields(rest);
        let read = match kind {
            0 => Self::Static(None),
            1 => Self::Static(Some(fields.next()?)),
            2 => Self::Vault {
                holder: Holder::read(fields.next()?)?,
                name: fields.text()?,
            },
            3 => Self::Own {
                holder: Holder::read(fields.next()?)?,
                name: fields.text()?,
                url: fields.text()?,
                headers: fields.headers()?,
            },
            4 => Self::Foreign {
                url: fields.text()?,
                headers: fields.headers()?,
            },
            _ => return None,
        };
        fields.0.is_empty().then_some(read)
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.next()?).ok()
    }

    fn headers(&mut self) -> Option<Vec<(&'a str, &'a [u8])>> {
        let mut headers = Vec::new();
        while !self.0.is_empty() {
            headers.push((self.text()?, self.next()?));
        }
        Some(headers)
    }
}

/// Whether the value of a header of this name is a credential, and so never shown.
pub(crate) fn is_secret_header(name: &str) -> bool {
    crate::settings::fault::looks_secret(name)
}

/// What is wrong with a lookup, as the end of a sentence.
pub(crate) fn check_lookup(url: &str, headers: &[(String, Plaintext)]) -> Result<(), String> {
    // These say how a message is framed, which is not the caller's to say.
    const FRAMING: [&str; 5] = [
        "connection",
        "content-length",
        "host",
        "te",
        "transfer-encoding",
    ];
    if url.len() > LOOKUP_URL_BYTES_MAX {
        return Err(format!(
            "has a URL longer than {LOOKUP_URL_BYTES_MAX} bytes"
        ));
    }
    if headers.len() > LOOKUP_HEADERS_MAX {
        return Err(format!("has more than {LOOKUP_HEADERS_MAX} headers"));
    }
    let sizes = headers.iter().map(|(name, value)| name.len() + value.len());
    if sizes.sum::<usize>() > LOOKUP_HEADERS_BYTES_MAX {
        return Err(format!(
            "has more than {LOOKUP_HEADERS_BYTES_MAX} bytes of headers"
        ));
    }
    for (number, (name, value)) in headers.iter().enumerate() {
        let known = hyper::header::HeaderName::from_bytes(name.as_bytes());
        let allowed = known.is_ok_and(|name| !FRAMING.contains(&name.as_str()));
        if !allowed {
            return Err(format!(
                "can't be sent with the name of its header {}",
                number + 1
            ));
        }
        if value
            .expose()
            .iter()
            .any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 127)
        {
            return Err(format!(
                "can't be sent with the value of its header {}: no control characters there",
                number + 1
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Holder, Name, Rights};

    /// Rights of a server that nobody has a key of.
    pub(crate) struct Nobody;

    impl Rights for Nobody {
        fn holder(&self, _: &[u8]) -> Option<Holder> {
            None
        }

        fn may_read(&self, _: &Holder, _: &Name) -> bool {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Plaintext)> {
        let owned = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), Plaintext::copy_of(value.as_bytes()))
        };
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn each_kind_comes_back() {
        let holder = Holder::Key(KeyId::new("first"));
        let some = headers(&[("Accept", "text/plain"), ("X-Access-Key", "k")]);
        let bytes = Kept::Own {
            holder: &holder,
            name: "TOKEN",
            url: "/api/settings/secrets/TOKEN",
            headers: &some,
        }
        .to_bytes();
        let Some(Read::Own {
            holder: read,
            name,
            url,
            headers,
        }) = Read::parse(bytes.expose())
        else {
            panic!("it is one of our own")
        };
        assert_eq!(
            (&read, name, url),
            (&holder, "TOKEN", "/api/settings/secrets/TOKEN")
        );
        assert_eq!(
            headers,
            [("Accept", &b"text/plain"[..]), ("X-Access-Key", b"k")]
        );

        let bytes = Kept::Foreign {
            url: "https://h/x",
            headers: &some,
        }
        .to_bytes();
        assert!(matches!(
            Read::parse(bytes.expose()),
            Some(Read::Foreign {
                url: "https://h/x",
                ..
            })
        ));
        let bytes = Kept::Vault {
            holder: &Holder::Local,
            name: "A",
        }
        .to_bytes();
        let read = Read::parse(bytes.expose());
        assert!(matches!(
            read,
            Some(Read::Vault {
                holder: Holder::Local,
                name: "A"
            })
        ));
        for value in [None, Some(&b""[..]), Some(b"s3cret")] {
            let bytes = Kept::Static(value).to_bytes();
            assert!(
                matches!(Read::parse(bytes.expose()), Some(Read::Static(read)) if read == value)
            );
        }
    }

    #[test]
    fn what_is_sent_can_not_break_out_of_its_header() {
        let check = |name: &str, value: &str| check_lookup("/", &headers(&[(name, value)])).is_ok();
        assert!(check("X-Session-API-Key", "a b\tc") && check("authorization", "Bearer é"));
        for (name, value) in [
            ("a b", ""),
            ("", ""),
            ("a:", ""),
            ("Host", "h"),
            ("x", "a\r\nb: c"),
            ("x", "\0"),
        ] {
            assert!(!check(name, value), "{name:?}");
        }
        assert!(check_lookup("/", &headers(&[("a", "b"); 33])).is_err());
        assert!(check_lookup(&"x".repeat(9000), &[]).is_err());
        let refused = check_lookup("/", &headers(&[("s3cret name", "s3cret\n")])).unwrap_err();
        assert!(!refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn credentials_are_told_by_their_header() {
        for name in [
            "X-Session-API-Key",
            "authorization",
            "X-Access-Key",
            "cookie",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        assert!(!is_secret_header("Accept"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Read::parse(&bytes);
        }

        #[test]
        fn no_other_bytes_read_as_the_same(value in prop::collection::vec(any::<u8>(), 0..40), cut in 0_usize..45) {
            let bytes = Kept::Static(Some(&value)).to_bytes();
            let is_value = matches!(Read::parse(bytes.expose()), Some(Read::Static(Some(read))) if read == value);
            prop_assert!(is_value);
            if cut < bytes.len() {
                let is_cut = matches!(Read::parse(&bytes.expose()[..cut]), Some(Read::Static(Some(_))));
                prop_assert!(!is_cut);
            }
        }
    }
}
