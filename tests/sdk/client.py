"""Makes calls of the unmodified OpenHands client, for tests/sdk.rs.

One JSON object per line comes in, {"url": .., "key": .. or null, "call": .., "arguments": {..}}, and one goes out:
{"gave": what the call gave} or {"raised": the exception's class, "status": that of the answer, if one was at fault}.
"""

import json
import sys

from openhands.sdk.workspace import RemoteWorkspace

SHOWN = {"expose_secrets": "plaintext"}


def get_llm(workspace, arguments):
    llm = workspace.get_llm(**arguments)
    key = llm.api_key
    return {
        "model": llm.model,
        "api_key": None if key is None else key.get_secret_value(),
        "usage_id": llm.usage_id,
        "temperature": llm.temperature,
    }


def get_secrets(workspace, arguments):
    found = workspace.get_secrets(**arguments)
    return [
        {
            "name": name,
            "kind": type(secret).__name__,
            "description": secret.description,
            "value": secret.get_value(),
        }
        for name, secret in found.items()
    ]


def get_mcp_config(workspace, arguments):
    servers = workspace.get_mcp_config(**arguments)
    return {
        name: server.model_dump(mode="json", context=SHOWN, exclude_none=True)
        for name, server in servers.items()
    }


CALLS = {call.__name__: call for call in (get_llm, get_secrets, get_mcp_config)}


def answer(asked):
    try:
        workspace = RemoteWorkspace(
            host=asked["url"], api_key=asked["key"], working_dir="."
        )
        return {"gave": CALLS[asked["call"]](workspace, asked["arguments"])}
    except Exception as error:
        response = getattr(error, "response", None)
        return {
            "raised": type(error).__name__,
            "status": getattr(response, "status_code", None),
        }


def main():
    # Whatever else is printed must not mix with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


main()
