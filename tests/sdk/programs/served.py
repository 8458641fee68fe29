"""What the programs share: the server started as users' programs start it, the scripted model, and waiting.

Each takes the port as its argument, works in the current directory, finds the model in LLM_BASE_URL, LLM_MODEL and
LLM_API_KEY, and prints EXAMPLE_COST as its last line.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from openhands.sdk import LLM, Conversation
from openhands.sdk.workspace.remote.base import RemoteWorkspace
from openhands.tools.preset.default import get_default_agent

PATIENCE = 120
HERE = Path.cwd()
LLM_CONFIG = {
    "model": os.environ["LLM_MODEL"],
    "api_key": os.environ["LLM_API_KEY"],
    "base_url": os.environ["LLM_BASE_URL"],
}


def until(what, happened):
    """Waits until something that another process does has happened, and gives what it gave."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := happened():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {PATIENCE} s: {what}")


class Server:
    """The server in a process of its own, while the block runs."""

    def __init__(self, key=None):
        self.port = int(sys.argv[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = key
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            finally:
                self.process.kill()
        if kind:
            print((HERE / "server.log").read_text(errors="replace"), file=sys.stderr)

    def start(self):
        environment = {"OH_SECRET_KEY": "a secret key of these programs", **os.environ}
        if self.key:
            environment["SESSION_API_KEY"] = self.key
        command = [sys.executable, "-m", "openhands.agent_server"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        log = open(HERE / "server.log", "ab")
        self.process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log
        )
        until("the server answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, "the server ended"
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.RequestError:
            return False

    def kill(self):
        """As `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self):
        headers = {"X-Session-API-Key": self.key} if self.key else {}
        return httpx.Client(base_url=self.url, timeout=120, headers=headers)

    def workspace(self, directory, host=None):
        return RemoteWorkspace(
            host=host or self.url, working_dir=str(directory), api_key=self.key
        )


class Model:
    """The scripted model's control routes."""

    def __init__(self):
        base = httpx.URL(LLM_CONFIG["base_url"])
        self.client = httpx.Client(base_url=base.copy_with(path="/"), timeout=200)

    def script(self, *replies, when=""):
        body = {"when": when, "replies": replies}
        self.client.put("/script", json=body).raise_for_status()

    def release(self, name):
        self.client.post(f"/release/{name}").raise_for_status()

    def arrived(self, name):
        self.client.get(f"/arrived/{name}").raise_for_status()

    def asked(self):
        """The bodies of all requests but those for titles."""
        all_of_them = self.client.get("/asked").json()
        return [asked["body"] for asked in all_of_them if not asked["title"]]


def says(text, **more):
    return {"text": text, **more}


def runs(command, **more):
    call = {"name": "terminal", "arguments": {"command": command}}
    return {"calls": [call], **more}


def agent():
    return get_default_agent(llm=LLM(**LLM_CONFIG), cli_mode=True)


def conversation(workspace, **more):
    return Conversation(
        agent=agent(), workspace=workspace, visualizer=None, **more
    )


def status(talk):
    return talk.state.refresh_from_server()["execution_status"]


def kinds(talk):
    """The kinds of the events, without those of the state, which come at any time."""
    names = [type(event).__name__ for event in talk.state.events]
    return [name for name in names if name != "ConversationStateUpdateEvent"]


def stored(talk):
    """The ids of the events, without those that are only ever sent."""
    events = talk.state.events
    return [event.id for event in events if getattr(event, "key", None) != "full_state"]


def outputs(talk):
    """What the tools gave, in order."""
    events = [event for event in talk.state.events if hasattr(event, "observation")]
    return ["".join(part.text for part in event.observation.content) for event in events]


def cost(*talks):
    metrics = [talk.conversation_stats.get_combined_metrics() for talk in talks]
    return sum(metric.accumulated_cost for metric in metrics)


def same(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"
