//! The settings of new conversations.

use super::field::{Field, Pattern, Reading, Rule};
use super::model::{Version, choice, model};
use crate::json::{Json, Object, Text};

choice! {
    /// Who looks at actions before they are done.
    pub enum SecurityAnalyzer { /// The model itself.
        Llm = "llm", /// Nobody.
        None = "none", }
}

choice! {
    /// Where a conversation works.
    pub enum DefaultRuntime { /// In the directory itself.
        Local = "local", /// In a worktree of its own.
        Worktree = "worktree", /// In a container.
        Docker = "docker", }
}

choice! {
    /// What a new worktree starts from.
    pub enum WorktreeBase { /// The default branch.
        DefaultBranch = "default_branch", /// What is checked out.
        Head = "head", /// The one that is named.
        Ref = "ref", }
}

static GIT_REF: Pattern = Pattern {
    text: "^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    fits: is_git_ref,
};
static BRANCH_PREFIX: Pattern = Pattern {
    text: "^([A-Za-z0-9][A-Za-z0-9._/-]*)?$",
    fits: |text| text.is_empty() || is_git_ref(text),
};
static MEMORY: Pattern = Pattern {
    text: r"^\d+(\.\d+)? ?[kKmMgGtTpP]?[iI]?[bB]?$",
    fits: is_memory,
};

fn is_git_ref(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    text.bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(allowed)
}

/// A number, a blank, a prefix, `i` and `b`; all but the number may be missing.
fn is_memory(text: &str) -> bool {
    let after = |text: &'_ str| text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = text.get(text.len() - after(text)..).unwrap_or_default();
    let has_digits = rest.len() < text.len();
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if after(fraction) < fraction.len() => fraction
            .get(fraction.len() - after(fraction)..)
            .unwrap_or_default(),
        _ => rest,
    };
    let one_of = |text: &mut &'_ str, set: &[char]| {
        if let Some(rest) = text.strip_prefix(set) {
            *text = rest;
        }
    };
    let mut rest = rest.strip_prefix(' ').unwrap_or(rest);
    one_of(
        &mut rest,
        &['k', 'K', 'm', 'M', 'g', 'G', 't', 'T', 'p', 'P'],
    );
    one_of(&mut rest, &['i', 'I']);
    one_of(&mut rest, &['b', 'B']);
    has_digits && rest.is_empty()
}

model! {
    /// The settings of new conversations.
    pub struct ConversationSettings {
        unknown: Dropped, lean: false, before: runtime_members_fit, after: ref_base_has_ref
    }
    /// The version of these settings.
    schema_version: Version<1> = { Version };
    /// How many steps a conversation may take.
    max_iterations: i64 where [Rule::AtLeast(1.0)] = { 500 };
    /// Whether a person confirms actions.
    confirmation_mode: bool = { false };
    /// Who looks at actions before they are done.
    security_analyzer: Option<SecurityAnalyzer> = { Some(SecurityAnalyzer::Llm) };
    /// Where a conversation works.
    default_runtime: DefaultRuntime = { DefaultRuntime::Local };
    /// What a new worktree starts from.
    worktree_base: WorktreeBase = { WorktreeBase::DefaultBranch };
    /// Its name, if it is named.
    worktree_base_ref: Option<Text> where [Rule::Match(&GIT_REF)] = { None };
    /// How the names of new branches begin.
    worktree_branch_prefix: Text where [Rule::Match(&BRANCH_PREFIX)] = { Text::copy_of("openhands/") };
    /// The memory of a container.
    container_memory: Option<Text> where [Rule::Match(&MEMORY)] = { None };
    /// The processors of a container.
    container_cpus: Option<f64> where [Rule::AtLeast(0.01)] = { None };
    /// Whether a container has a browser.
    container_browser: bool = { true };
}

impl ConversationSettings {
    pub(crate) fn fresh(run: &mut Reading<'_>) -> Option<Self> {
        Self::read(&Object::new().into(), None, run)
    }
}

/// What a member of a running conversation must be.
enum Shape {
    Object,
    List,
    Text,
    Uuid,
}

impl Shape {
    fn fits(&self, value: &Json) -> bool {
        match self {
            Self::Object => value.as_object().is_some(),
            Self::List => matches!(value, Json::List(_)),
            Self::Text => value.as_text().is_some(),
            Self::Uuid => value.as_text().is_some_and(crate::profiles::is_uuid),
        }
    }
}

/// Members of a running conversation are taken and not stored; they must be of their type all the same.
fn runtime_members_fit(input: &Json, run: &mut Reading<'_>) -> bool {
    const NULLABLE: [(&str, Shape); 9] = [
        ("agent_settings", Shape::Object),
        ("workspace", Shape::Object),
        ("conversation_id", Shape::Uuid),
        ("initial_message", Shape::Object),
        ("plugins", Shape::List),
        ("hook_config", Shape::Object),
        ("selected_repository", Shape::Text),
        ("observability_metadata", Shape::Object),
        ("observability_tags", Shape::List),
    ];
    const NEVER_NULL: [(&str, Shape); 2] = [
        ("tool_module_qualnames", Shape::Object),
        ("agent_definitions", Shape::List),
    ];
    let nullable = NULLABLE
        .iter()
        .filter(|(name, _)| !input.get(name).is_some_and(Json::is_null));
    let mut all = nullable.chain(&NEVER_NULL);
    let wrong = all.find(|(name, shape)| input.get(name).is_some_and(|value| !shape.fits(value)));
    if let Some((name, _)) = wrong {
        run.at_name(name, |run| {
            run.refuse_value::<()>("not of the type of this setting", Json::Null)
        });
    }
    wrong.is_none()
}

fn ref_base_has_ref(
    settings: &mut ConversationSettings,
    input: &Json,
    run: &mut Reading<'_>,
) -> bool {
    let fits = settings.worktree_base != WorktreeBase::Ref || settings.worktree_base_ref.is_some();
    if !fits {
        let text = "Branching worktrees from a ref needs worktree_base_ref";
        run.refuse_value::<()>(text, ConversationSettings::veil(input));
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_number_with_a_unit() {
        for good in ["5", "512m", "1.5 GiB", "2Ti", "3b", "0.5", "7 b", "8i"] {
            assert!(is_memory(good), "{good}");
        }
        for bad in [
            "", "m", "lots", "1.", ".5", "5  g", "5gg", "5m\n", "5 ", "1.5.5",
        ] {
            assert_eq!(is_memory(bad), bad == "5 ", "{bad}"); // the pattern lets a blank stand alone
        }
    }

    #[test]
    fn refs_begin_with_a_letter_or_digit() {
        assert!(is_git_ref("origin/main") && is_git_ref("v1.2-x_y"));
        assert!(
            !is_git_ref("")
                && !is_git_ref("-x")
                && !is_git_ref("/x")
                && !is_git_ref("a b")
                && !is_git_ref("a\n")
        );
        assert!((BRANCH_PREFIX.fits)("") && !(BRANCH_PREFIX.fits)("/x"));
    }
}
