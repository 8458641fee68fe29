"""Several conversations at once: each has its own answers and its own shell, and one that hangs delays no other."""

import tempfile
from concurrent.futures import ThreadPoolExecutor

from served import Model, Server, conversation, cost, kinds, outputs, runs, same, says

COUNT, TURNS = 4, 3

model = Model()
model.script(says("at last", hold="stuck"), when="the stuck one")
for number in range(COUNT):
    replies = [runs(f"MINE={number}; echo set")]
    for turn in range(TURNS):
        replies += [runs(f"echo $MINE of turn {turn}"), says(f"{number} said {turn}")]
    model.script(*replies, when=f"number {number},")


def play(number):
    talk = conversation(server.workspace(tempfile.mkdtemp()))
    for turn in range(TURNS):
        talk.send_message(f"number {number}, turn {turn}")
        talk.run(timeout=100)
        same(talk.state.execution_status.value, "finished")
    same(outputs(talk), ["set", *(f"{number} of turn {turn}" for turn in range(TURNS))])
    turn = ["MessageEvent", "ActionEvent", "ObservationEvent", "MessageEvent"]
    first = turn[:3] + turn[1:]
    same(kinds(talk), ["SystemPromptEvent", *first, *turn * (TURNS - 1)])
    return talk


with Server(key="a-session-key") as server:
    stuck = conversation(server.workspace(tempfile.mkdtemp()))
    stuck.send_message("the stuck one")
    stuck.run(blocking=False)
    model.arrived("stuck")
    with ThreadPoolExecutor(COUNT) as pool:
        talks = list(pool.map(play, range(COUNT)))
    same(stuck.state.refresh_from_server()["execution_status"], "running")
    model.release("stuck")
    stuck.run(timeout=100)
    same(stuck.state.execution_status.value, "finished")
    spent = cost(stuck, *talks)
    for talk in [stuck, *talks]:
        talk.close()

print(f"EXAMPLE_COST: {spent}")
