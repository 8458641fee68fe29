//! Conversations as they run: a scripted model, real tools in a directory of their own.

mod ends;
mod limits;
mod many;
mod secrets;
mod stage;
mod starts;
