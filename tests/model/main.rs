//! The scripted model by itself, for programs that script it over its control routes: says its `base_url` and serves
//! until its standard input ends.
#![allow(clippy::print_stdout, reason = "where it listens is all it has to say")]

use std::io::Read as _;

use strongroom_tests::model::Model;

fn main() -> std::io::Result<()> {
    let model = Model::start()?;
    println!("{}", model.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
