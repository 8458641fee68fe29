"""A pause while a tool runs, and going on; an interruption while the model thinks, and going on."""

import tempfile
import threading
from pathlib import Path

from served import Model, Server, conversation, cost, kinds, outputs, runs, same, says, until

model = Model()
# The loop has an end of its own, since some servers answer a pause only once the tool is done.
model.script(
    runs("touch begun; for i in $(seq 100); do [ -e go ] && break; sleep 0.1; done; echo gone"),
    runs("echo after"),
    says("never heard", hold="thinking"),
    says("done"),
)


def start(talk):
    """Runs it; what comes of it is told by the thread's end."""
    run = threading.Thread(target=talk.run, kwargs={"timeout": 100}, daemon=True)
    run.start()
    return run


def ended(run):
    run.join(timeout=110)
    assert not run.is_alive(), "the run does not end"


with Server(key="a-session-key") as server:
    directory = Path(tempfile.mkdtemp())
    talk = conversation(server.workspace(directory))
    talk.send_message("go on")
    run = start(talk)
    until("the tool runs", (directory / "begun").exists)
    talk.pause()
    asked = len(model.asked())
    (directory / "go").touch()
    ended(run)
    same(talk.state.refresh_from_server()["execution_status"], "paused")
    until("what the tool gave is there", lambda: outputs(talk) == ["gone"])
    until("the pause is there", lambda: "PauseEvent" in kinds(talk))
    same(len(model.asked()), asked)

    run = start(talk)
    model.arrived("thinking")
    until("the next is there", lambda: outputs(talk) == ["gone", "after"])
    talk.interrupt()
    ended(run)
    same(talk.state.refresh_from_server()["execution_status"], "paused")
    model.release("thinking")

    talk.run(timeout=100)
    same(talk.state.execution_status.value, "finished")
    step = ["ActionEvent", "ObservationEvent"]
    begun = ["SystemPromptEvent", "MessageEvent", *step]
    same(kinds(talk), [*begun, "PauseEvent", *step, "InterruptEvent", "MessageEvent"])
    spent = cost(talk)
    talk.close()

print(f"EXAMPLE_COST: {spent}")
