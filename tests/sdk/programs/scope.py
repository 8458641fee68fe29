"""A conversation's own workspace: what the agent made there is run, read, changed and compared by the client, and
shown to a browser by a cookie. Nothing beside it is reached."""

import tempfile
from pathlib import Path

import httpx
from openhands.sdk.workspace.remote.base import RemoteWorkspace
from served import Model, Server, conversation, cost, runs, same, says

model = Model()
model.script(runs("echo '<p>made</p>' > page.html"), says("made"))
directory = Path(tempfile.mkdtemp()).resolve()

with Server(key="a-session-key") as server:
    talk = conversation(server.workspace(directory))
    talk.send_message("Make a page.")
    talk.run(timeout=100)
    own = RemoteWorkspace(
        host=server.url,
        api_key=server.key,
        working_dir=str(directory),
        runtime_conversation_id=talk.id,
    )
    ran = own.execute_command("pwd; cat page.html")
    same((ran.exit_code, ran.stdout), (0, f"{directory}\n<p>made</p>\n"))
    same(own.execute_command("pwd", cwd=directory.parent).exit_code, -1)
    Path("note").write_text("a note")
    same(own.file_upload("note", directory / "deep/note").success, True)
    same((directory / "deep/note").read_text(), "a note")
    same(own.file_download(directory / "page.html", "page").success, True)
    same(Path("page").read_text(), "<p>made</p>\n")
    same(own.file_download("/etc/passwd", "stolen").success, False)
    changed = {str(change.path) for change in own.git_changes(".")}
    same(changed, {"deep/note", "page.html"})
    same(own.git_diff("page.html").modified, "<p>made</p>")

    server.client().post("/api/auth/workspace-session").raise_for_status()
    cookie = {"oh_workspace_session_key": server.key}
    with httpx.Client(base_url=server.url, cookies=cookie) as browser:
        page = browser.get(f"/api/conversations/{talk.id}/workspace/page.html")
        same((page.status_code, page.text), (200, "<p>made</p>\n"))
        same(browser.get(f"/api/conversations/{talk.id}").status_code, 401)
    spent = cost(talk)
    talk.close()

print(f"EXAMPLE_COST: {spent}")
