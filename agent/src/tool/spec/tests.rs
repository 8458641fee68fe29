use super::*;
use crate::tool::{EditCommand, TaskStatus, TerminalAction, find};

fn parse(tool: &str, arguments: &str) -> Result<Request, String> {
    let spec = find(tool).unwrap().spec;
    spec.parse(arguments).map_err(|invalid| invalid.to_string())
}

fn check(tool: &str, arguments: &str, told: &str) {
    assert_eq!(
        parse(tool, arguments).unwrap_err(),
        format!("Error validating tool '{tool}': {told}")
    );
}

#[test]
fn faults_are_named_and_values_are_not_quoted() {
    let one = |fault: &str, given: &str| {
        format!("1 validation error for TerminalAction\n{fault}. Parameters provided: [{given}]")
    };
    check("terminal", "{}", &one("command\n  Field required", ""));
    check("terminal", "[1]", &one("command\n  Field required", ""));
    check("terminal", "null", &one("command\n  Field required", ""));
    check(
        "terminal",
        r#"{"command":5}"#,
        &one("command\n  Input should be a valid string", "'command'"),
    );
    check(
        "terminal",
        r#"{"command":"s3cret","bogus":1}"#,
        &one(
            "bogus\n  Extra inputs are not permitted",
            "'bogus', 'command'",
        ),
    );
    check(
        "terminal",
        r#"{"command":"x","timeout":-1}"#,
        &one(
            "timeout\n  Input should be greater than or equal to 0",
            "'command', 'timeout'",
        ),
    );
    check(
        "terminal",
        r#"{"command":"x","security_risk":"EXTREME"}"#,
        &one(
            "security_risk\n  Input should be 'UNKNOWN', 'LOW', 'MEDIUM' or 'HIGH'",
            "'command', 'security_risk'",
        ),
    );
    check(
        "terminal",
        r#"{"command": "s3cret"#,
        "not valid JSON at line 1 column 19. Arguments: unparseable JSON",
    );
    check(
        "file_editor",
        r#"{"command":"frobnicate"}"#,
        "2 validation errors for FileEditorAction\ncommand\n  Input should be 'view', 'create', 'str_replace', \
         'insert' or 'undo_edit'\npath\n  Field required. Parameters provided: ['command']",
    );
    check(
        "task_tracker",
        r#"{"command":"plan","task_list":[{"title":"a"},{"notes":1,"x":2},3]}"#,
        "4 validation errors for TaskTrackerAction\ntask_list.1.title\n  Field required\ntask_list.1.notes\n  Input \
         should be a valid string\ntask_list.1.x\n  Extra inputs are not permitted\ntask_list.2\n  Input should \
         be a valid object. Parameters provided: ['command', 'task_list']",
    );
}

#[test]
fn what_the_model_says_about_a_call_is_taken_out_of_it() {
    let request = parse(
        "terminal",
        r#"{"command":"ls","summary":"look","security_risk":"low","timeout":"3","is_input":"False","reset":null}"#,
    )
    .unwrap();
    assert_eq!(
        (request.risk, request.summary.as_deref()),
        (Risk::Low, Some("look"))
    );
    let expected = TerminalAction {
        command: "ls".into(),
        timeout: Some(3.0),
        ..TerminalAction::default()
    };
    assert_eq!(request.action, Action::Terminal(expected));
}

#[test]
fn lists_and_numbers_may_come_as_text() {
    let request = parse(
        "file_editor",
        r#"{"command":"view","path":"/a","view_range":"[1, -1]","insert_line":"4"}"#,
    )
    .unwrap();
    let Action::FileEditor(action) = request.action else {
        panic!()
    };
    assert_eq!(action.command, EditCommand::View);
    assert_eq!(
        (action.view_range, action.insert_line),
        (Some(vec![1, -1]), Some(4))
    );

    let request = parse(
        "task_tracker",
        r#"{"command":"plan","task_list":"[{\"title\":\"a\",\"status\":\"done\"}]"}"#,
    );
    let Action::TaskTracker(action) = request.unwrap().action else {
        panic!()
    };
    assert_eq!(
        (
            action.task_list[0].title.as_str(),
            action.task_list[0].status
        ),
        ("a", TaskStatus::Done)
    );
    assert!(parse("task_tracker", "{}").is_ok());
    assert!(
        parse(
            "file_editor",
            r#"{"command":"insert","path":"/a","insert_line":1e300}"#
        )
        .is_err()
    );
    assert!(
        parse(
            "file_editor",
            r#"{"command":"insert","path":"/a","insert_line":2.0}"#
        )
        .is_ok()
    );
}

#[test]
fn the_schema_asks_for_risk_only_where_there_is_any() {
    let schema = find("think").unwrap().spec.parameters();
    assert_eq!(schema["required"], json!(["thought"]));
    assert!(schema["properties"]["summary"].is_object());
    assert!(schema["properties"].get("security_risk").is_none());
    let schema = find("task_tracker").unwrap().spec.parameters();
    assert!(schema.get("required").is_none());
    assert_eq!(schema["properties"]["security_risk"]["enum"], json!(RISKS));
    assert_eq!(
        schema["properties"]["task_list"]["items"]["required"],
        json!(["title"])
    );
}
