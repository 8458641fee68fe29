"""A server with a session key: the model comes from its settings, and a conversation runs with it."""

import secrets
import tempfile

import httpx
from openhands.sdk import Conversation
from openhands.tools.preset.default import get_default_agent

from served import LLM_CONFIG, Model, Server, cost, same, says

model = Model()
model.script(says("4"))

with Server(key=secrets.token_urlsafe(32)) as server, server.client() as client:
    same(httpx.get(f"{server.url}/api/settings").status_code, 401)
    same(client.get("/api/settings").status_code, 200)
    response = client.patch("/api/settings", json={"agent_settings_diff": {"llm": LLM_CONFIG}})
    same(response.status_code, 200)
    same(response.json()["llm_api_key_is_set"], True)

    workspace = server.workspace(tempfile.mkdtemp())
    llm = workspace.get_llm()
    same(llm.model, LLM_CONFIG["model"])
    same(llm.api_key.get_secret_value(), LLM_CONFIG["api_key"])
    same(llm.base_url, LLM_CONFIG["base_url"])

    talk = Conversation(agent=get_default_agent(llm=llm, cli_mode=True), workspace=workspace)
    try:
        talk.send_message("What is 2 + 2? Only the number, please.")
        talk.run()
        same(talk.state.execution_status.value, "finished")
        spent = cost(talk)
        assert spent > 0, spent
    finally:
        talk.close()
    same(client.get(f"/api/conversations/{talk.id}").status_code, 404)

    put = {"name": "TEST_SECRET", "value": "secret-value-123", "description": "a test"}
    same(client.put("/api/settings/secrets", json=put).status_code, 200)
    [(name, found)] = workspace.get_secrets().items()
    same((name, found.url), ("TEST_SECRET", f"{server.url}/api/settings/secrets/TEST_SECRET"))
    same(found.headers, {"X-Session-API-Key": server.key})
    same(found.get_value(), "secret-value-123")
    same(client.delete("/api/settings/secrets/TEST_SECRET").status_code, 200)
    same(workspace.get_mcp_config(), {})

print(f"EXAMPLE_COST: {spent}")
