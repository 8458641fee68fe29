//! `redact` under libFuzzer; without it, for the files that are named.
#![cfg_attr(fuzzing, no_main)]

strongroom_fuzz::target!(redact);
