//! Sealing and opening a value: ours, the bare cipher beneath it, and an age file for an X25519 identity.

use std::hint::black_box;
use std::process::ExitCode;

use age::x25519;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{Spread, interleave, mean_on_cpu};
use strongroom_benches::{Failure, Result};
use strongroom_vault::bench::Sealer;
use strongroom_vault::{Plaintext, WipingAllocator};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

/// Sizes, how often in a round, and the bars: ours over the bare cipher, X25519 over ours.
const SIZES: [(usize, usize, f64, Option<f64>); 3] = [
    (64, 2_000, 8.0, Some(5.0)),
    (1024, 2_000, 8.0, None),
    (64 * 1024, 100, 1.7, None),
];
/// An X25519 file takes this many times longer than the bare cipher; it runs less often.
const SLOWER: usize = 20;
/// As long as the context that the vault binds a value to.
const CONTEXT: &[u8] = &[7; 76];

fn main() -> ExitCode {
    run("seal", bench)
}

fn bench(report: &mut Report) -> Result<()> {
    let sealer = Sealer::new()?;
    for (size, count, most, least) in SIZES {
        let value = vec![0x5A; size];
        let count = report.setting.count(count);
        let bar = least.map_or(Bar::None, Bar::AtLeast);
        report.table(
            &format!("{size} bytes"),
            &format!(
                "mean processor time of {count} calls a round; wiping allocator; nonces from the system; floor: XChaCha20-Poly1305"
            ),
        );
        let plaintext = Plaintext::copy_of(&value);
        let mut ours = || seal_ours(count, &sealer, &plaintext);
        let cipher = Bare::new()?;
        let mut bare = || cipher.seal_often(count, &value);
        let identity = x25519::Identity::generate();
        let recipient = identity.to_public();
        let mut file = || {
            mean_on_cpu(count.div_ceil(SLOWER), || {
                black_box(age::encrypt(&recipient, black_box(&value))?);
                Ok(())
            })
        };
        let [ours, bare, file] =
            interleave(report.setting.rounds(), [&mut ours, &mut bare, &mut file])?;
        report.figure("bare seal", &nanoseconds(&bare.spread()), "ns", Bar::None);
        report.figure("seal / bare", &ours.over(&bare), "", Bar::AtMost(most));
        report.figure("X25519 file / seal", &file.over(&ours), "", bar);

        let (sealed, nonced) = (sealer.seal(&plaintext)?, cipher.seal(&value)?);
        let for_identity = age::encrypt(&recipient, &value)?;
        let mut ours = || {
            mean_on_cpu(count, || {
                let opened = sealer.open(black_box(&sealed));
                black_box(opened.ok_or("a sealed value does not open")?);
                Ok(())
            })
        };
        let mut bare = || {
            mean_on_cpu(count, || {
                black_box(cipher.open(black_box(&nonced))?);
                Ok(())
            })
        };
        let mut file = || {
            mean_on_cpu(count.div_ceil(SLOWER), || {
                black_box(age::decrypt(&identity, black_box(&for_identity))?);
                Ok(())
            })
        };
        let [ours, bare, file] =
            interleave(report.setting.rounds(), [&mut ours, &mut bare, &mut file])?;
        report.figure("bare open", &nanoseconds(&bare.spread()), "ns", Bar::None);
        report.figure("open / bare", &ours.over(&bare), "", Bar::AtMost(most));
        report.figure("X25519 file / open", &file.over(&ours), "", bar);
    }
    overhead(report, &sealer)
}

fn seal_ours(count: usize, sealer: &Sealer, value: &Plaintext) -> Result<f64> {
    mean_on_cpu(count, || {
        black_box(sealer.seal(black_box(value))?);
        Ok(())
    })
}

fn overhead(report: &mut Report, sealer: &Sealer) -> Result<()> {
    const FILES: usize = 1_000;
    report.table(
        "bytes beyond the value",
        &format!("{FILES} files of 64 bytes"),
    );
    let value = Plaintext::copy_of(&[0; 64]);
    let mut sizes = Vec::with_capacity(FILES);
    for _ in 0..FILES {
        sizes.push((sealer.seal(&value)?.len() - value.len()) as f64);
    }
    let sizes = Spread::of(sizes);
    report.single("median", sizes.median(), "bytes", Bar::AtMost(320.0));
    report.single("largest", sizes.max(), "bytes", Bar::AtMost(400.0));
    report.single("smallest", sizes.min(), "bytes", Bar::None);
    Ok(())
}

fn nanoseconds(seconds: &Spread) -> Spread {
    seconds.scaled(1e9)
}

/// The floor: one cipher under one key, a random nonce before each text.
struct Bare(XChaCha20Poly1305);

impl Bare {
    fn new() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(XChaCha20Poly1305::new(&key.into())))
    }

    fn seal(&self, plain: &[u8]) -> Result<([u8; 24], Vec<u8>)> {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce)?;
        let payload = Payload {
            msg: plain,
            aad: CONTEXT,
        };
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(broken)?;
        Ok((nonce, sealed))
    }

    fn seal_often(&self, count: usize, plain: &[u8]) -> Result<f64> {
        mean_on_cpu(count, || {
            black_box(self.seal(black_box(plain))?);
            Ok(())
        })
    }

    fn open(&self, (nonce, sealed): &([u8; 24], Vec<u8>)) -> Result<Vec<u8>> {
        let payload = Payload {
            msg: sealed.as_slice(),
            aad: CONTEXT,
        };
        self.0
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(broken)
    }
}

fn broken(_: chacha20poly1305::Error) -> Failure {
    "the bare cipher refuses its own work".into()
}
