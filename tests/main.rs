//! The whole program under test, as a user meets it: a process, a data directory, a socket. And the sources
//! themselves, for what no compiler checks.
//!
//! [`program`] starts and ends it, [`wire`] speaks to it; the other modules each say what belongs in them. No
//! fixed port, no network beyond loopback, no sleep in place of waiting for what has to happen.

#[cfg(test)]
mod access;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod breaks;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod compat;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod leak;
#[cfg(test)]
mod lookups;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod program;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod run;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod shim;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod unlock;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod workspace;
