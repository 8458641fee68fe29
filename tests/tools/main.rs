//! The scripted MCP server over pipes: `strongroom-scripted-tools NOTES [mute]`. Its secret is in `TOKEN`. A mute one
//! answers nothing. Before all else it notes its process and the names of its variables.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;
use strongroom_tests::tools::Tools;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let notes = arguments.next().unwrap_or_default();
    let token = std::env::var("TOKEN").unwrap_or_default();
    let mut variables: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
    variables.sort_unstable();
    writeln!(io::stderr(), "begins, and knows {token}")?;
    let tools = Tools::new(token, Path::new(&notes))?;
    tools.hear(&json!({"process": std::process::id(), "variables": variables}))?;
    if arguments.next().is_some() {
        return io::copy(&mut io::stdin(), &mut io::sink()).map(drop);
    }
    tools.serve(io::stdin().lock(), io::stdout().lock())
}
