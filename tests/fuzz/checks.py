"""What schemathesis cannot know of this API."""

import atexit
import http.client
import json
import os
from collections import Counter

import requests
import schemathesis
import yaml
from schemathesis.generation.meta import REQUEST_SHAPE_PROBES, CoveragePhaseData

RANKS = {"nobody": -1, "viewer": 0, "operator": 1, "admin": 2}
ROLE = os.environ["LIMELIGHT_FUZZ_ROLE"]
TOKEN = os.environ.get("LIMELIGHT_FUZZ_TOKEN")
SPARE = os.environ.get("LIMELIGHT_FUZZ_SPARE")
MINE = f"Bearer {TOKEN}"

# Refusals of requests that the schema allows, because no schema can say what they lack.
BEYOND_SCHEMA = {
    "invalid_cursor",  # which cursors have been given out
    "empty_span",  # one parameter against another
    "too_many_points",
    "invalid_params",  # what the named workflow takes
    "idempotency_key_reused",  # what was asked for earlier
    "invalid_workflow",  # only for the faults below
}
# Faults of definitions that the schema allows: the graph, and the languages inside of texts.
BEYOND_DEFINITION_SCHEMA = {
    "unknown_node",
    "self_need",
    "cycle",
    "not_needed",
    "bad_template",
    "bad_condition",
    "misplaced_value",
    "unknown_param",
    "unknown_name",
    "unsupported",
}

TALLY = Counter()


def _begin(self, begin=http.client.HTTPResponse.begin):
    begin(self)
    # A connection that was upgraded speaks HTTP no more; the client would send its next request there.
    if self.status == 101:
        self.will_close = True


http.client.HTTPResponse.begin = _begin


def _send(self, request, send=requests.Session.send, **arguments):
    # Signing out ends the token that is shown, so it is shown one that nothing else needs.
    shown = request.headers.get("Authorization")
    if SPARE and request.path_url.startswith("/api/auth/logout") and shown in (MINE, MINE.encode()):
        request.headers["Authorization"] = f"Bearer {SPARE}"
    return send(self, request, **arguments)


requests.Session.send = _send


def _quoted(dumper, text):
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


# The client writes YAML 1.1, where the text 1e100 needs no quotes; in YAML 1.2 it is a number.
for _dumper in (yaml.SafeDumper, getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    _dumper.add_representer(str, _quoted)


@schemathesis.hook
def after_call(context, case, response):
    if case.meta is None or not _is_probe(case):
        TALLY[f"{case.operation.label} {response.status_code}"] += 1


@atexit.register
def write_tally():
    path = os.environ.get("LIMELIGHT_FUZZ_TALLY")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(TALLY, file)


def _is_probe(case):
    data = case.meta.phase.data
    return isinstance(data, CoveragePhaseData) and data.scenario in REQUEST_SHAPE_PROBES


def _problem(response):
    try:
        return json.loads(response.content)
    except ValueError:
        return {}


@schemathesis.check
def valid_data_is_refused_only_for_what_no_schema_can_say(ctx, response, case):
    if case.meta is None or _is_probe(case) or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in (400, 413, 415, 422, 426):
        return
    problem = _problem(response)
    code = problem.get("code")
    assert code in BEYOND_SCHEMA, f"valid data was refused: {problem}"
    if code == "invalid_workflow":
        found = {fault["code"] for fault in problem["faults"]}
        assert found <= BEYOND_DEFINITION_SCHEMA, f"a valid definition was refused: {problem}"


@schemathesis.check
def each_role_may_what_is_described(ctx, response, case):
    needed = case.operation.definition.raw.get("x-required-role")
    sent = response.request.headers.get("Authorization")
    if needed is None or TOKEN is None or sent not in (f"Bearer {TOKEN}", f"Bearer {TOKEN}".encode()):
        return
    allowed = RANKS[ROLE] >= RANKS[needed]
    refused = response.status_code == 403 and _problem(response).get("code") == "role_too_low"
    if not allowed:
        assert response.status_code >= 400, f"{ROLE} was let in, which needs {needed}"
    elif refused and ROLE != "admin":
        # Only admins define what runs on the server.
        body = response.request.body or b""
        body = body.encode() if isinstance(body, str) else body
        assert b"command" in body, f"{ROLE} was refused"
    else:
        assert not refused, f"{ROLE} was refused"
