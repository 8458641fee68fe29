"""A websocket that breaks in the middle of a run: the client comes back, and misses nothing."""

import socket
import tempfile
import threading

from served import Model, Server, conversation, cost, kinds, outputs, runs, same, says, until

model = Model()
model.script(runs("echo first", hold="begin"), runs("echo second"), says("both"))


class Line:
    """Passes bytes on to the server, until it is cut; while it is down, nobody gets through."""

    def __init__(self, port):
        self.to, self.up, self.open, self.lock = port, True, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            with self.lock:
                if not self.up:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.to))
                self.open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    @staticmethod
    def pass_on(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        with self.lock:
            self.up = False
            for end in self.open:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.open = []

    def mend(self):
        with self.lock:
            self.up = True


with Server(key="a-session-key") as server, server.client() as client:
    line = Line(server.port)
    seen = []
    talk = conversation(
        server.workspace(tempfile.mkdtemp(), host=line.url), callbacks=[seen.append]
    )
    talk.send_message("do both")
    waiting = threading.Thread(target=talk.run, kwargs={"timeout": 100}, daemon=True)
    waiting.start()
    model.arrived("begin")
    line.cut()
    model.release("begin")
    # All of the run happens while the client hears nothing.
    there = f"/api/conversations/{talk.id}"
    until("the run is over", lambda: client.get(there).json()["execution_status"] == "finished")
    assert not [event for event in seen if hasattr(event, "observation")], seen
    line.mend()
    waiting.join(timeout=100)
    assert not waiting.is_alive(), "the client waits for ever"
    same(talk.state.execution_status.value, "finished")
    same(outputs(talk), ["first", "second"])
    step = ["ActionEvent", "ObservationEvent"]
    same(kinds(talk), ["SystemPromptEvent", "MessageEvent", *step, *step, "MessageEvent"])
    # Its callbacks were given each of them once.
    heard = [event.id for event in seen]
    missed = [event.id for event in talk.state.events if event.id not in heard]
    same((missed, len(heard) - len(set(heard))), ([], 0))
    spent = cost(talk)
    talk.close()

print(f"EXAMPLE_COST: {spent}")
