//! How the audit trail is kept.

use clap::{Args, ValueEnum};
use strongroom_vault::Options;
use strongroom_vault::audit::Mode;

use super::{Environment, Unusable};
use crate::limits::AUDIT_MIB_MAX;

/// When a read is in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// Within a tenth of a second, without delaying the answer
    Buffered,
    /// Before it is answered
    Strict,
}

/// What the command line says of the audit trail.
#[derive(Args, Default)]
pub struct Trail {
    /// When a read is in the audit trail on disk: buffered (within 0.1 s) or strict (before it is answered)
    /// [default: $STRONGROOM_AUDIT, else buffered]
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    audit: Option<Durability>,
    /// Size in MiB at which the oldest entries of the audit trail go [default: $STRONGROOM_AUDIT_MAX_MIB, else 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=AUDIT_MIB_MAX))]
    audit_max_mib: Option<u64>,
}

/// How the vault is opened: as the command line says, else the environment.
///
/// # Errors
/// A variable that can't be used.
pub fn vault_options(trail: &Trail, env: &Environment) -> Result<Options, Unusable> {
    let mut options = Options::default();
    let durability = match (trail.audit, env.text("STRONGROOM_AUDIT")?) {
        (Some(given), _) => Some(given),
        (None, Some(word)) => Some(Durability::from_str(word, false).map_err(|_| Unusable {
            what: "STRONGROOM_AUDIT",
            why: "is neither buffered nor strict",
        })?),
        (None, None) => None,
    };
    options.audit = match durability {
        Some(Durability::Strict) => Mode::Strict,
        Some(Durability::Buffered) | None => Mode::Buffered,
    };
    let size = match (trail.audit_max_mib, env.text("STRONGROOM_AUDIT_MAX_MIB")?) {
        (Some(given), _) => Some(given),
        (None, Some(text)) => {
            let size = text.parse().ok();
            let size = size.filter(|size| (1..=AUDIT_MIB_MAX).contains(size));
            Some(size.ok_or(Unusable {
                what: "STRONGROOM_AUDIT_MAX_MIB",
                why: "is no number of MiB from 1 to 16384",
            })?)
        }
        (None, None) => None,
    };
    if let Some(mib) = size {
        options.audit_bytes_max = mib * 1024 * 1024;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::super::environment::of_pairs as env;
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let said = [
            ("STRONGROOM_AUDIT", "strict"),
            ("STRONGROOM_AUDIT_MAX_MIB", "7"),
        ];
        let options = vault_options(&Trail::default(), &env(&said)).unwrap();
        assert_eq!(
            (options.audit, options.audit_bytes_max),
            (Mode::Strict, 7 << 20)
        );
        let given = Trail {
            audit: Some(Durability::Buffered),
            audit_max_mib: Some(9),
        };
        let options = vault_options(&given, &env(&said)).unwrap();
        assert_eq!(
            (options.audit, options.audit_bytes_max),
            (Mode::Buffered, 9 << 20)
        );
        let options = vault_options(&Trail::default(), &env(&[])).unwrap();
        assert_eq!(
            (options.audit, options.audit_bytes_max),
            (Mode::Buffered, 64 << 20)
        );
        for bad in [
            ("STRONGROOM_AUDIT", "off"),
            ("STRONGROOM_AUDIT_MAX_MIB", "0"),
            ("STRONGROOM_AUDIT_MAX_MIB", "x"),
            ("STRONGROOM_AUDIT_MAX_MIB", "16385"),
        ] {
            let refused = vault_options(&Trail::default(), &env(&[bad]))
                .err()
                .unwrap();
            assert!(refused.to_string().starts_with(bad.0));
        }
    }
}
