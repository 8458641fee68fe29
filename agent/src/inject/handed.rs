//! A secret as an open file: for programs that read a key from a file, and for values that no variable can hold.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use strongroom_vault::Plaintext;

use crate::limits;

/// How the child learns where its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// The bare number, as in `3`: for programs that take a descriptor.
    Number,
    /// A path, `/dev/fd/3`: for programs that take a file.
    Path,
}

/// A file that holds one secret and exists nowhere in the file system. The child inherits it; ours is closed
/// once the child has started.
pub struct Handed(OwnedFd);

impl Handed {
    /// A sealed file in memory: can be read again and again, mapped and measured, and changed by nobody. It can be
    /// swapped out, as any memory of the child.
    ///
    /// # Errors
    /// The system has no memory or descriptor left.
    #[cfg(target_os = "linux")]
    pub fn sealed(secret: &Plaintext) -> io::Result<Self> {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        use rustix::io::Errno;
        use std::fs::File;
        use std::io::Seek as _;

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = match memfd_create("secret", flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => memfd_create("secret", flags)?, // before Linux 6.3
            made => made?,
        };
        let mut file = File::from(fd);
        file.write_all(secret.expose())?;
        file.rewind()?;
        fcntl_add_seals(
            &file,
            SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
        )?;
        Ok(Self(file.into()))
    }

    /// Sealed files need Linux: elsewhere this is always an error, and [`piped`](Self::piped) remains.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn sealed(_: &Plaintext) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "sealed files in memory need Linux; use a pipe",
        ))
    }

    /// A pipe: gone once read. A value longer than a pipe takes at once is fed by a thread, which ends, and wipes
    /// the value, when all is read or the child has closed its end.
    ///
    /// # Errors
    /// The system has no descriptor or thread left.
    pub fn piped(secret: Plaintext) -> io::Result<Self> {
        let (reader, mut writer) = io::pipe()?;
        if secret.len() <= limits::PIPE_FREE_BYTES {
            writer.write_all(secret.expose())?;
        } else {
            // A reader that goes away is no error of ours: the child decides how much it reads.
            let feed = move || drop(writer.write_all(secret.expose()));
            std::thread::Builder::new()
                .name("secret-pipe".into())
                .spawn(feed)?;
        }
        Ok(Self(reader.into()))
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read as _;

    fn read(handed: Handed) -> Vec<u8> {
        let mut all = Vec::new();
        File::from(handed.into_fd()).read_to_end(&mut all).unwrap();
        all
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_sealed_file_can_be_read_and_not_changed() {
        let handed = Handed::sealed(&Plaintext::copy_of(b"key\0of any\nkind")).unwrap();
        let mut file = File::from(handed.0.try_clone().unwrap());
        assert!(file.set_len(0).is_err() && file.set_len(100).is_err());
        assert!(file.write_all(b"x").is_err());
        assert_eq!(read(handed), b"key\0of any\nkind");
    }

    #[test]
    fn a_pipe_gives_short_and_long_values_whole() {
        for len in [
            0,
            1,
            limits::PIPE_FREE_BYTES,
            limits::PIPE_FREE_BYTES + 1,
            1 << 20,
        ] {
            let value: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            assert!(
                read(Handed::piped(Plaintext::copy_of(&value)).unwrap()) == value,
                "{len}"
            );
        }
    }
}
