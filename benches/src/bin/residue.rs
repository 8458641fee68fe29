//! What is left of secrets in the memory of a server that has handled them and waits for more.

use std::net::TcpStream;
use std::process::ExitCode;

use strongroom_benches::Result;
use strongroom_benches::load::{exchange, get, put};
use strongroom_benches::memory::{Canaries, Found, PIECE_BYTES};
use strongroom_benches::process::{Server, built, strongroom};
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::serve::{self, Role};
use strongroom_vault::limits::VALUE_CACHE_BYTES_DEFAULT;
use strongroom_vault::{Options, Unlock, Vault, WipingAllocator};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

/// Secrets, and connections that stay open.
const CANARIES: usize = 30;
/// Around the usual sizes of tokens, keys and certificates, and of hyper's buffers.
const SIZES: [usize; 10] = [
    32, 64, 200, 1_700, 4_000, 8_150, 8_300, 16_500, 33_000, 60_000,
];
/// PUTs and GETs in any order, at the end.
const MIXED: usize = 300;

fn main() -> ExitCode {
    serve::if_asked().unwrap_or_else(|| run("residue", bench))
}

fn bench(report: &mut Report) -> Result<()> {
    let dir = TempDir::new()?;
    let program = built("strongroom-http", "strongroom")?;
    let mut server = Server::start(&mut strongroom(&program, &dir.path().join("real")))?;
    let mut what = "the program `strongroom`";
    if Canaries::new(Vec::new()).look_in(server.id()).is_err() {
        // It does not let itself be read, except by root.
        drop(server);
        what = "the server inside this bench, for `strongroom` can't be read by this user";
        let role = Role::Secrets(dir.path().join("real"), VALUE_CACHE_BYTES_DEFAULT);
        server = Server::start(&mut role.command(&std::env::current_exe()?))?;
    }
    report.table(
        "copies in the server's readable memory",
        &format!(
            "{what}; {CANARIES} secrets of 32 to 60000 characters, a tenth of them escaped in JSON; as many \
             connections, which stay open; whole secrets and pieces of {PIECE_BYTES} bytes, as text and as sent"
        ),
    );
    session(&server, |when, found| {
        report.single(
            &format!("whole, {when}"),
            found.whole as f64,
            "",
            Bar::AtMost(0.0),
        );
        report.single(
            &format!("pieces, {when}"),
            found.pieces as f64,
            "",
            Bar::AtMost(0.0),
        );
        report.note(&format!("  in {} MiB of memory", found.scanned >> 20));
    })?;
    drop(server);

    let plain = built("strongroom-benches", "request-plain")?;
    let at = dir.path().join("plain");
    drop(Vault::open(&at, &Unlock::default(), &Options::default())?);
    let server = Server::start(&mut Role::Secrets(at, VALUE_CACHE_BYTES_DEFAULT).command(&plain))?;
    report.table(
        "the same without the wiping allocator",
        "shows that there is something to be found; a bar on the bench itself",
    );
    let mut pieces = 0;
    session(&server, |_, found| pieces += found.pieces)?;
    report.single("pieces in all", pieces as f64, "", Bar::AtLeast(1.0));
    Ok(())
}

/// Stores and reads secrets, and looks for them after each step.
fn session(server: &Server, mut tell: impl FnMut(&str, Found)) -> Result<()> {
    let secrets = (0..CANARIES).map(Secret::new).collect::<Result<Vec<_>>>()?;
    let forms = secrets.iter().flat_map(|secret| {
        let text = secret.text.as_bytes().to_vec();
        [text, secret.escaped.as_bytes().to_vec()]
    });
    let canaries = Canaries::new(forms.collect());
    let mut connections = (0..CANARIES)
        .map(|_| Ok(TcpStream::connect(server.address)?))
        .collect::<Result<Vec<_>>>()?;
    for (connection, secret) in connections.iter_mut().zip(&secrets) {
        secret.put(connection)?;
    }
    tell("after 30 PUTs", canaries.look_in(server.id())?);
    for (connection, secret) in connections.iter_mut().zip(&secrets) {
        secret.get(connection)?;
    }
    tell("after 30 GETs", canaries.look_in(server.id())?);
    let mut dice = [0; MIXED * 3];
    getrandom::fill(&mut dice)?;
    for throw in dice.chunks_exact(3) {
        let [which, whose, what] = throw else {
            continue;
        };
        let connection = connections.get_mut(usize::from(*whose) % CANARIES);
        let secret = secrets.get(usize::from(*which) % CANARIES);
        let (Some(connection), Some(secret)) = (connection, secret) else {
            continue;
        };
        if what % 2 == 0 {
            secret.put(connection)?;
        } else {
            secret.get(connection)?;
        }
    }
    tell("after 300 of both", canaries.look_in(server.id())?);
    drop(connections);
    tell("closed", canaries.look_in(server.id())?);
    Ok(())
}

/// A random value, known to this process alone.
struct Secret {
    name: String,
    text: String,
    escaped: String,
}

impl Secret {
    fn new(number: usize) -> Result<Self> {
        const PLAIN: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        const ODD: [(char, &str); 6] = [
            ('"', "\\\""),
            ('\\', "\\\\"),
            ('\n', "\\n"),
            ('\u{1}', "\\u0001"),
            ('é', "\\u00e9"),
            ('🔑', "\\ud83d\\udd11"),
        ];
        let size = SIZES.get(number % SIZES.len()).copied().unwrap_or(32);
        let mut dice = vec![0; 2 * size];
        getrandom::fill(&mut dice)?;
        let (mut text, mut escaped) = (String::new(), String::new());
        for throw in dice.chunks_exact(2) {
            let [kind, which] = throw else { continue };
            let odd = ODD.get(usize::from(*which) % ODD.len());
            match (odd, PLAIN.get(usize::from(*which) % PLAIN.len())) {
                (Some((character, sent)), _) if *kind < 26 => {
                    text.push(*character);
                    escaped.push_str(sent);
                }
                (_, Some(byte)) => {
                    text.push(char::from(*byte));
                    escaped.push(char::from(*byte));
                }
                _ => {}
            }
        }
        Ok(Self {
            name: format!("CANARY_{number}"),
            text,
            escaped,
        })
    }

    fn put(&self, connection: &mut TcpStream) -> Result<()> {
        let body = format!(r#"{{"name":"{}","value":"{}"}}"#, self.name, self.escaped);
        exchange(connection, &put("/api/settings/secrets", &body))?;
        Ok(())
    }

    fn get(&self, connection: &mut TcpStream) -> Result<()> {
        let path = format!("/api/settings/secrets/{}", self.name);
        if exchange(connection, &get(&path))? == self.text.as_bytes() {
            Ok(())
        } else {
            Err("a secret came back changed".into())
        }
    }
}
