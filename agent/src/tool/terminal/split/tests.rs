use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(commands(text), expected);
}

#[test]
fn lines_are_commands() {
    check("echo a\necho b", &["echo a", "echo b"]);
    check(
        "echo a\n# c\n\necho b\n# end\n",
        &["echo a", "# c\n\necho b\n# end"],
    );
    check(
        "cat <<A\nx\nA\ncat <<'B'\ny 'z\nB",
        &["cat <<A\nx\nA", "cat <<'B'\ny 'z\nB"],
    );
    check(
        "if true; then\n echo 1\nfi\necho 2",
        &["if true; then\n echo 1\nfi", "echo 2"],
    );
    check("echo $((1<<2))\necho b", &["echo $((1<<2))", "echo b"]);
    check(
        "echo if\necho done\necho esac",
        &["echo if", "echo done", "echo esac"],
    );
    check("cd /tmp\r\nls", &["cd /tmp", "ls"]);
    check("f() {\n echo 1\n}\nf", &["f() {\n echo 1\n}", "f"]);
    check(
        "case a in\n a) echo 1;;\n (b|if) echo 2\n ;;\nesac\necho c",
        &[
            "case a in\n a) echo 1;;\n (b|if) echo 2\n ;;\nesac",
            "echo c",
        ],
    );
    check("ls >&2\necho b", &["ls >&2", "echo b"]);
    check("sleep 1 &\necho b", &["sleep 1 &", "echo b"]);
    check("echo a;\necho b", &["echo a;", "echo b"]);
}

#[test]
fn what_goes_on_is_one_command() {
    for text in [
        "",
        "echo a",
        "echo a\n",
        "\n\n# c\necho a",
        "echo 'a\nb'",
        "echo \"a\n$(echo b\n)\"",
        "echo a \\\n b",
        "echo a &&\n echo b ||\n\n echo c |\n cat",
        "for i in 1 2; do\n echo $i\ndone",
        "for ((i=0; i<<2; i++))\ndo\n echo $i\ndone",
        "while read -r l\ndo echo $l; done < f",
        "if [ a ]\nthen\n b\nelif c\nthen d\nelse\n e\nfi",
        "cat <<E\nhere doc's\nE",
        "cat <<-\tE\n\tx\n\tE",
        "cat <<\"E F\"\nx\nE F\n",
        "cat <<E && echo a\nx\nE\n",
        "python3 - <<'PY'\nif x:\n  print(\"it's\")\nPY",
        "(\n cd /\n ls\n)",
        "{\n echo a\n}",
        "f()\n{\n echo a\n}",
        "function f\n{\n echo a\n}",
        "a=(1\n2 if\n3)",
        "[[ a == b\n&& c ]]",
        "echo `echo a\necho b`",
        "echo ${a:-b\nc}",
        "echo $'it\\'s\n'",
        "case $x in a) echo;; esac",
        "case \"$x y\" in\n  *) if true; then\n echo; fi ;;\nesac",
        "diff <(echo a\n) <(echo b)",
        "echo \"unclosed\necho b",
        "cat <<E\nno end",
        "fi\necho a )\necho b",
        "x=$(cat <<E\n)\nE\n)",
        "(( a = (1\n+ 2) ))",
    ] {
        assert_eq!(commands(text), [text.trim()], "{text:?}");
    }
}

proptest! {
    #[test]
    fn nothing_is_lost(pieces in prop::collection::vec(prop::sample::select(vec![
        "echo", "if", "fi", "case", "in", "esac", "do", "done", "for", "{", "}", "(", ")", "((", "))", "[[", "]]", "'", "\"",
        "`", "$(", "${", "<<E", "E", "\n", "\n", " ", ";", ";;", "&", "&&", "|", "#", "\\", "é", "$", "<", ">&", "function", "a=",
    ]), 0..30)) {
        let text = pieces.concat();
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        let found = commands(&text);
        prop_assert_eq!(squeezed(&found.concat()), squeezed(&text));
    }
}
