"""`kill -9` while a tool runs and while the model thinks: after a new start, all is there and goes on."""

import tempfile
from pathlib import Path

from openhands.sdk.conversation.impl.remote_conversation import RemoteConversation

from served import Model, Server, agent, conversation, cost, kinds, outputs, runs, same, says, stored, until

model = Model()
model.script(
    runs("export KEPT=1; echo $TOKEN"),
    says("first"),
    runs("touch begun; sleep 600"),
    runs("echo [$KEPT] $TOKEN"),
    says("second"),
    when="with a tool",
)
model.script(says("never heard", hold="thinking"), says("resumed"), when="with thoughts")


def again(workspace, before):
    """The same conversation by a client that was not there before."""
    return RemoteConversation(
        agent=agent(), workspace=workspace, conversation_id=before.id, visualizer=None
    )


def now(workspace, talk):
    answer = workspace.client.get(f"/api/conversations/{talk.id}")
    same(answer.status_code, 200)
    return answer.json()


with Server(key="a-session-key") as server:
    directory = Path(tempfile.mkdtemp())
    workspace = server.workspace(directory)
    talk = conversation(workspace, delete_on_close=False, secrets={"TOKEN": "a-secret-token"})
    talk.send_message("with a tool")
    talk.run(timeout=100)
    same(outputs(talk), ["<secret-hidden>"])
    talk.send_message("and another")
    talk.run(blocking=False)
    until("the tool runs", (directory / "begun").exists)

    thinking = conversation(server.workspace(tempfile.mkdtemp()), delete_on_close=False)
    thinking.send_message("with thoughts")
    thinking.run(blocking=False)
    model.arrived("thinking")
    until("the call is on record", lambda: kinds(talk).count("ActionEvent") == 2)
    before = stored(talk)

    server.kill()
    talk.close()
    thinking.close()
    server.start()

    until("the conversation is there", lambda: now(workspace, talk)["execution_status"] == "error")
    talk = again(workspace, talk)
    same(stored(talk)[: len(before)], before)
    errors = [event for event in talk.state.events if type(event).__name__ == "AgentErrorEvent"]
    same([error.tool_name for error in errors], ["terminal"])
    talk.send_message("go on")
    talk.run(timeout=100)
    same(talk.state.execution_status.value, "finished")
    # The shell is new, the secret is known.
    same(outputs(talk), ["<secret-hidden>", "[] <secret-hidden>"])
    assert "a-secret-token" not in str(model.asked())

    same(now(workspace, thinking)["execution_status"], "error")
    thinking = again(workspace, thinking)
    thinking.run(timeout=100)
    same(thinking.state.execution_status.value, "finished")
    same(kinds(thinking), ["SystemPromptEvent", "MessageEvent", "MessageEvent"])
    model.release("thinking")
    spent = cost(talk, thinking)
    talk.close()
    thinking.close()

print(f"EXAMPLE_COST: {spent}")
