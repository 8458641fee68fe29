"""Settings and secrets over plain HTTP: a stored model, a stored secret, and a conversation that looks it up."""

import tempfile
from uuid import UUID

from openhands.tools.file_editor import FileEditorTool
from openhands.tools.terminal import TerminalTool

from served import LLM_CONFIG, Model, Server, runs, same, says, until

NAME, VALUE = "MY_PROJECT_TOKEN", "super-secret-token-12345"
SECRETS = "/api/settings/secrets"

model = Model()
model.script(runs(f"echo ${NAME}", text="I will look."), says("YES"))

with Server() as server, server.client() as client:
    response = client.patch("/api/settings", json={"agent_settings_diff": {"llm": LLM_CONFIG}})
    same(response.status_code, 200)
    same(response.json()["agent_settings"]["llm"]["model"], LLM_CONFIG["model"])
    same(response.json()["llm_api_key_is_set"], True)

    secret = {"name": NAME, "value": VALUE, "description": "an example"}
    same(client.put(SECRETS, json=secret).status_code, 200)
    listed = client.get(SECRETS)
    same(listed.json(), {"secrets": [{"name": NAME, "description": "an example"}]})

    start = {
        "agent": {
            "kind": "Agent",
            "llm": LLM_CONFIG,
            "tools": [{"name": TerminalTool.name}, {"name": FileEditorTool.name}],
        },
        "workspace": {"working_dir": tempfile.mkdtemp(dir=".")},
        "secrets": {
            NAME: {
                "kind": "LookupSecret",
                "url": f"{server.url}{SECRETS}/{NAME}",
                "description": "looked up when it is needed",
            }
        },
        "initial_message": {
            "role": "user",
            "content": [{"type": "text", "text": f"Is there a ${NAME}? Say `YES` or `NO`."}],
            "run": True,
        },
    }
    response = client.post("/api/conversations", json=start)
    same(response.status_code, 201)
    talk = f"/api/conversations/{UUID(response.json()['id'])}"

    def ended():
        response = client.get(talk)
        same(response.status_code, 200)
        return response.json()["execution_status"] in ("finished", "paused", "error", "stuck")

    until("the agent is done", ended)
    same(client.get(talk).json()["execution_status"], "finished")
    same(client.get(f"{talk}/agent_final_response").json(), {"response": "YES"})
    # The model was told that there is something, and not what.
    heard = str(model.asked()[-1])
    assert "<secret-hidden>" in heard and VALUE not in heard, heard
    assert VALUE not in client.get(f"{talk}/events/search").text

    usages = client.get(talk).json()["stats"]["usage_to_metrics"]
    cost = sum(usage.get("accumulated_cost", 0.0) for usage in usages.values())
    same(client.delete(talk).status_code, 200)
    same(client.get(talk).status_code, 404)

    same(client.delete(f"{SECRETS}/{NAME}").status_code, 200)
    same(client.get(f"{SECRETS}/{NAME}").status_code, 404)
    for wrong in ("123_invalid", "invalid-name"):
        response = client.put(SECRETS, json={"name": wrong, "value": "test"})
        same(response.status_code, 422)

print(f"EXAMPLE_COST: {cost}")
