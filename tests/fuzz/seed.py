"""Things that are there, as examples: each operation on one thing gets one that is its own to spoil.

An identifier that was made up names nothing, and then only a refusal is seen.
"""

import os
import time

import requests
import schemathesis

URL = os.environ["LIMELIGHT_FUZZ_URL"]
ADMIN = {"Authorization": f"Bearer {os.environ['LIMELIGHT_FUZZ_ADMIN']}"}

WORKFLOW = """
name: "{name}"
params: {{who: {{type: string, default: you}}}}
nodes:
  ask: {{kind: approval}}
  fails: {{kind: command, run: "echo hello; exit 1"}}
"""


def _call(method, path, **arguments):
    answer = requests.request(method, URL + path, headers=ADMIN, timeout=30, **arguments)
    answer.raise_for_status()
    return answer.json()


def _workflow(name):
    body = WORKFLOW.format(name=name).encode()
    return _call("POST", "/api/workflows/import", data=body)["id"]


def _execution(workflow):
    """One that waits for an approval and has a node that failed."""
    execution = _call("POST", f"/api/workflows/{workflow}/execute")["execution_id"]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        nodes = _call("GET", f"/api/executions/{execution}/nodes")["items"]
        if {node["status"] for node in nodes} == {"waiting", "failed"}:
            return execution
        time.sleep(0.02)
    raise TimeoutError(f"execution {execution} never came to wait: {nodes}")


def _examples(method, path, demo):
    """What stands for the parameters of a path."""
    kind = path.split("/")[2]
    if kind == "workflow":
        return {"id": demo}
    if kind == "workflows":
        workflow = _workflow(f"{method} {path}".replace("{id}", "one"))
        _execution(workflow)
        if path.endswith("/resume"):
            _call("POST", f"/api/workflows/{workflow}/pause")
        return {"id": workflow}
    if kind == "testing":
        return {"id": _call("POST", "/api/testing/runs", json={"suite": "long"})["id"]}
    execution = _execution(demo)
    if path.endswith("/resume"):
        _call("POST", f"/api/executions/{execution}/pause")
    return {"id": execution, "node": "fails" if path.endswith(("/retry", "/logs/{node}")) else "ask"}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    demo = _workflow("demo")
    for path, item in raw_schema["paths"].items():
        for method, operation in item.items():
            named = [one for one in operation.get("parameters", []) if one["in"] == "path"]
            if named:
                examples = _examples(method, path, demo)
                for parameter in named:
                    parameter["example"] = examples[parameter["name"]]
