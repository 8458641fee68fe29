//! The list of what is to be done.

use super::spec::{Annotations, Field, Spec, Type};
use super::{
    Action, Call, Content, Failure, Observation, Task, TaskCommand, TaskStatus,
    TaskTrackerObservation, Tool,
};
use crate::limits::TASKS_MAX;

/// What it is.
pub(super) static SPEC: Spec = Spec {
    name: "task_tracker",
    kind: "TaskTrackerTool",
    action: "TaskTrackerAction",
    observation: "TaskTrackerObservation",
    module: Some("openhands.tools.task_tracker.definition"),
    description: "Keep a list of tasks, so that a piece of work with many steps loses none of them and the user can \
                  see how far it is. `plan` replaces the whole list: give every task again, with its present status. \
                  `view` shows it.\n\
                  Use it when a request has several parts, or when new ones turn up on the way; a single simple step \
                  needs no list. Set a task to in_progress before you begin it, one at a time, and to done as soon as \
                  it is finished and checked, not before.",
    annotations: Annotations {
        title: None,
        read_only: false,
        destructive: false,
        idempotent: true,
        open_world: false,
    },
    fields: &[
        Field {
            name: "command",
            kind: Type::Choice(&["view", "plan"]),
            required: false,
            description: "view (what happens without a word) shows the list, plan replaces it by task_list.",
        },
        Field {
            name: "task_list",
            kind: Type::Objects(&[
                Field {
                    name: "title",
                    kind: Type::Text,
                    required: true,
                    description: "The task in a few words.",
                },
                Field {
                    name: "notes",
                    kind: Type::Text,
                    required: false,
                    description: "What else is to be known about it.",
                },
                Field {
                    name: "status",
                    kind: Type::Choice(&["todo", "in_progress", "done"]),
                    required: false,
                    description: "How far it is; todo without a word.",
                },
            ]),
            required: false,
            description: "For plan: the whole new list, in the order of the work.",
        },
    ],
    risky: true,
};

/// A conversation's list.
#[derive(Default)]
pub struct TaskTracker {
    tasks: Vec<Task>,
}

impl TaskTracker {
    fn listed(&self) -> String {
        if self.tasks.is_empty() {
            return "No task list found. Use the \"plan\" command to create one.".into();
        }
        let mut text = String::from("# Task List\n");
        for (index, task) in self.tasks.iter().enumerate() {
            let sign = match task.status {
                TaskStatus::Todo => '⏳',
                TaskStatus::InProgress => '🔄',
                TaskStatus::Done => '✅',
            };
            text.push_str(&format!("\n{}. {sign} {}\n", index + 1, task.title));
            if !task.notes.is_empty() {
                text.push_str(&format!("   {}\n", task.notes));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl Tool for TaskTracker {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run(&mut self, action: &Action, _: &Call<'_>) -> Result<Observation, Failure> {
        let Action::TaskTracker(action) = action else {
            return Err(Failure::OtherTool);
        };
        let mut is_error = false;
        let text = match action.command {
            TaskCommand::View => self.listed(),
            TaskCommand::Plan if action.task_list.len() > TASKS_MAX => {
                is_error = true;
                format!(
                    "A list has room for {TASKS_MAX} tasks: put several into one. The list was not changed."
                )
            }
            TaskCommand::Plan => {
                self.tasks.clone_from(&action.task_list);
                format!(
                    "Task list has been updated with {} item(s).",
                    self.tasks.len()
                )
            }
        };
        Ok(Observation::TaskTracker(TaskTrackerObservation {
            content: vec![Content::text(text)],
            is_error,
            command: action.command,
            task_list: self.tasks.clone(),
        }))
    }

    fn restore(&mut self, past: &Observation) {
        if let Observation::TaskTracker(past) = past {
            self.tasks.clone_from(&past.task_list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::{Cancel, TaskTrackerAction};

    fn run(
        tracker: &mut TaskTracker,
        command: TaskCommand,
        task_list: Vec<Task>,
    ) -> TaskTrackerObservation {
        let call = Call {
            secrets: &[],
            cancel: &Cancel::default(),
        };
        let action = Action::TaskTracker(TaskTrackerAction { command, task_list });
        match tracker.run(&action, &call).unwrap() {
            Observation::TaskTracker(seen) => seen,
            _ => panic!("an observation of another tool"),
        }
    }

    fn task(title: &str, notes: &str, status: TaskStatus) -> Task {
        Task {
            title: title.into(),
            notes: notes.into(),
            status,
        }
    }

    #[test]
    fn shows_what_was_planned_also_in_the_next_process() {
        let mut tracker = TaskTracker::default();
        let seen = run(&mut tracker, TaskCommand::View, Vec::new());
        assert_eq!(
            seen.content,
            [Content::text(
                "No task list found. Use the \"plan\" command to create one."
            )]
        );

        let list = vec![
            task("a", "n", TaskStatus::Todo),
            task("b", "", TaskStatus::Done),
            task("c", "", TaskStatus::InProgress),
        ];
        let planned = run(&mut tracker, TaskCommand::Plan, list.clone());
        assert_eq!(
            planned.content,
            [Content::text("Task list has been updated with 3 item(s).")]
        );
        assert_eq!(planned.task_list, list);

        let mut next = TaskTracker::default();
        next.restore(&Observation::TaskTracker(planned));
        let seen = run(&mut next, TaskCommand::View, Vec::new());
        assert_eq!(
            seen.content,
            [Content::text(
                "# Task List\n\n1. ⏳ a\n   n\n\n2. ✅ b\n\n3. 🔄 c"
            )]
        );
    }

    #[test]
    fn a_list_without_end_is_refused_and_changes_nothing() {
        let mut tracker = TaskTracker::default();
        run(
            &mut tracker,
            TaskCommand::Plan,
            vec![task("a", "", TaskStatus::Todo)],
        );
        let seen = run(
            &mut tracker,
            TaskCommand::Plan,
            vec![task("b", "", TaskStatus::Todo); TASKS_MAX + 1],
        );
        assert!(seen.is_error);
        assert_eq!(seen.task_list, [task("a", "", TaskStatus::Todo)]);
    }
}
