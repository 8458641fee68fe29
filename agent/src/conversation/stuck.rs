//! Notices that an agent goes round in circles. Plain data; looks at a bounded number of the newest steps.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// How much of the same is too much. The names are those of `stuck_detection_thresholds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// The same action with the same outcome, so many times in a row.
    pub action_observation: usize,
    /// The same action that failed, so many times in a row: then it is told so, and once more is too much.
    pub action_error: usize,
    /// Messages of the agent in a row without anybody answering.
    pub monologue: usize,
    /// Steps that alternate between two actions with the same two outcomes.
    pub alternating_pattern: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            action_observation: 4,
            action_error: 3,
            monologue: 3,
            alternating_pattern: 6,
        }
    }
}

/// What an action or an outcome is compared by.
#[must_use]
pub fn print(parts: &[&str]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}

/// The newest steps since the user last spoke.
#[derive(Clone, Debug)]
pub struct Stuck {
    thresholds: Thresholds,
    actions: VecDeque<u64>,
    /// What they compare by, and whether it was a refusal.
    outcomes: VecDeque<(u64, bool)>,
    said: usize,
    warned: bool,
}

/// Steps that are remembered, whatever the thresholds ask for.
const STEPS_MAX: usize = 100;

impl Stuck {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            actions: VecDeque::new(),
            outcomes: VecDeque::new(),
            said: 0,
            warned: false,
        }
    }

    /// The user spoke: whatever was before no longer counts.
    pub fn user_spoke(&mut self) {
        self.actions.clear();
        self.outcomes.clear();
        self.said = 0;
    }

    /// The agent spoke without wanting a tool.
    pub fn agent_spoke(&mut self) {
        self.said = self.said.saturating_add(1);
    }

    /// The agent wants this run.
    pub fn action(&mut self, print: u64) {
        self.said = 0;
        self.warned = false;
        keep(&mut self.actions, print);
    }

    /// This came of it.
    pub fn outcome(&mut self, print: u64, refused: bool) {
        self.said = 0;
        keep(&mut self.outcomes, (print, refused));
    }

    /// It was told that the same call fails again and again, or something else.
    pub fn warned(&mut self) {
        self.warned = true;
    }

    /// How often the same call has failed, when it is time to say so.
    #[must_use]
    pub fn warns(&self) -> Option<usize> {
        let failed = self.failed();
        (failed == self.thresholds.action_error && !self.warned).then_some(failed)
    }

    /// How often in a row the newest action failed.
    fn failed(&self) -> usize {
        let steps = self.actions.iter().rev().zip(self.outcomes.iter().rev());
        let failed = |(action, (_, refused)): &(&u64, &(u64, bool))| {
            *refused && Some(*action) == self.actions.back()
        };
        steps.take_while(failed).count()
    }

    /// Whether it goes round in circles.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        let limits = &self.thresholds;
        let same =
            |count| newest(&self.actions, count).is_some_and(|mut found| all_same(&mut found));
        let repeats = same(limits.action_observation)
            && newest(&self.outcomes, limits.action_observation)
                .is_some_and(|mut found| all_same(&mut found));
        let refused = self.failed() > limits.action_error;
        let talks = limits.monologue > 0 && self.said >= limits.monologue;
        repeats || refused || talks || self.alternates(limits.alternating_pattern)
    }

    fn alternates(&self, count: usize) -> bool {
        let (Some(actions), Some(outcomes)) =
            (newest(&self.actions, count), newest(&self.outcomes, count))
        else {
            return false;
        };
        let steps: Vec<_> = actions.zip(outcomes).collect();
        count >= 3
            && steps.iter().zip(steps.iter().skip(2)).all(|(a, b)| a == b)
            && steps.first() != steps.get(1)
    }
}

/// The newest `count`, newest first, if there are as many.
fn newest<T: Copy>(list: &VecDeque<T>, count: usize) -> Option<impl Iterator<Item = T>> {
    (count > 0 && list.len() >= count).then(|| list.iter().rev().take(count).copied())
}

fn all_same<T: PartialEq>(found: &mut impl Iterator<Item = T>) -> bool {
    match found.next() {
        Some(first) => found.all(|other| other == first),
        None => false,
    }
}

fn keep<T>(list: &mut VecDeque<T>, newest: T) {
    if list.len() == STEPS_MAX {
        list.pop_front();
    }
    list.push_back(newest);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps as letters: an action, then its outcome; `!` for a refusal.
    fn check(steps: &[(&str, &str)], stuck_after: Option<usize>) {
        let mut stuck = Stuck::new(Thresholds::default());
        let mut found = None;
        for (at, (action, outcome)) in steps.iter().enumerate() {
            stuck.action(print(&["terminal", action]));
            stuck.outcome(print(&[outcome]), outcome.starts_with('!'));
            if found.is_none() && stuck.is_stuck() {
                found = Some(at + 1);
            }
        }
        assert_eq!(found, stuck_after, "{steps:?}");
    }

    #[test]
    fn the_same_over_and_over_is_stuck() {
        check(&[("a", "x"); 5], Some(4));
        check(&[("a", "!x"); 4], Some(4));
        check(
            &[("a", "!x"), ("a", "!y"), ("a", "!z"), ("a", "!z")],
            Some(4),
        );
        check(
            &[
                ("a", "x"),
                ("b", "y"),
                ("a", "x"),
                ("b", "y"),
                ("a", "x"),
                ("b", "y"),
            ],
            Some(6),
        );
    }

    #[test]
    fn progress_is_not() {
        check(
            &[("a", "1"), ("a", "2"), ("a", "3"), ("a", "4"), ("a", "5")],
            None,
        );
        check(
            &[("a", "x"), ("a", "x"), ("a", "x"), ("b", "x"), ("a", "x")],
            None,
        );
        check(
            &[
                ("a", "x"),
                ("b", "y"),
                ("a", "x"),
                ("b", "y"),
                ("a", "x"),
                ("b", "z"),
            ],
            None,
        );
    }

    #[test]
    fn a_call_that_fails_again_is_told_of_once() {
        let mut stuck = Stuck::new(Thresholds::default());
        let fail = |stuck: &mut Stuck| {
            stuck.action(1);
            stuck.outcome(2, true);
        };
        (0..2).for_each(|_| fail(&mut stuck));
        assert_eq!(stuck.warns(), None);
        fail(&mut stuck);
        assert_eq!((stuck.warns(), stuck.is_stuck()), (Some(3), false));
        stuck.warned();
        assert_eq!(stuck.warns(), None);
        fail(&mut stuck);
        assert_eq!((stuck.warns(), stuck.is_stuck()), (None, true));
    }

    #[test]
    fn a_monologue_is_and_the_user_ends_it() {
        let mut stuck = Stuck::new(Thresholds::default());
        for _ in 0..2 {
            stuck.agent_spoke();
        }
        assert!(!stuck.is_stuck());
        stuck.agent_spoke();
        assert!(stuck.is_stuck());
        stuck.user_spoke();
        assert!(!stuck.is_stuck());
        for _ in 0..3 {
            stuck.action(1);
            stuck.outcome(2, false);
        }
        stuck.user_spoke();
        stuck.action(1);
        stuck.outcome(2, false);
        assert!(!stuck.is_stuck());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut stuck = Stuck::new(Thresholds::default());
        for step in 0..1000 {
            stuck.action(step);
            stuck.outcome(step, false);
        }
        assert_eq!(
            (stuck.actions.len(), stuck.outcomes.len()),
            (STEPS_MAX, STEPS_MAX)
        );
    }

    #[test]
    fn prints_tell_parts_apart() {
        assert_ne!(print(&["ab", "c"]), print(&["a", "bc"]));
        assert_eq!(print(&["ab", "c"]), print(&["ab", "c"]));
    }
}
