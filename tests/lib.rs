//! What the tests of the whole program share with the benches and with programs in other languages: a model that
//! answers from a script, over HTTP.

pub mod model;
