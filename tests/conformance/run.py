"""Runs conformance files against a running `longshore dev --simulator`: python run.py FILE...

Takes the addresses from the environment (`set -a; . .longshore/env; set +a`) and calls `longshore` in its directory. To check
a client, put it in place of `send` and `take_reply`. README.md describes the files.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import uuid

import redis

server = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, socket_timeout=70)


def send(fields):
    """Enqueues a message and returns its receipt."""
    text = [value if isinstance(value, str) else json.dumps(value) for field in fields for value in field]
    return server.execute_command("XADD", "{longshore}:queue:default", "*", *text)


def take_reply(key, wait):
    """Takes an outcome from a list of replies; None if there is none within `wait` seconds."""
    reply = server.blpop([f"{{longshore}}:{key}"], timeout=wait)
    return json.loads(reply[1]) if reply else None


def read(action):
    if "reply" in action:
        return take_reply(action["reply"], 0.5 if action["is"] is None else 60)
    if "result" in action:
        for _ in range(600):
            if outcome := server.get(f"{{longshore}}:result:{action['result']}"):
                return json.loads(outcome)
            time.sleep(0.1)
        return None
    if "requests" in action:
        with urllib.request.urlopen(os.environ["LONGSHORE_SIMULATOR_URL"] + "/requests") as kept:
            requests = [{name: request[name] for name in ("provider", "body")} for request in json.load(kept)]
            return [request for request in requests if action["requests"] in json.dumps(request)]
    command = ["longshore", "dlq", "show", action["dead_letter"], "--format", "json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def same(want, got, names):
    """Whether both are equal. A name that stands for nothing yet takes any text."""
    if isinstance(want, str) and want.startswith("$") and isinstance(got, str):
        names[want[1:]] = got
        return True
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(same(want[key], got[key], names) for key in want)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(same(*pair, names) for pair in zip(want, got))
    return want == got and isinstance(want, bool) == isinstance(got, bool)


def run(action, outcomes, names):
    """Does an action; raises AssertionError if something else came of it."""
    known = json.dumps(action, ensure_ascii=False)
    action = json.loads(re.sub(r"\$(\w+)", lambda name: names.get(name[1], name[0]), known))
    if "send" in action:
        names[action["as"]] = send(action["send"])
        return
    got, want = read(action), action.get("is", action.get("has"))
    if "has" in action:
        got = {name: got.get(name) for name in want}
    elif isinstance(want, str):
        want = outcomes[want] | action.get("but", {})
        times = [got.pop(name, None) for name in ("duration_ms", "queued_ms")] if got else []
        assert all(isinstance(time, int) and time >= 0 for time in times), f"times {times} in {got}"
        assert not times or times[1] >= action.get("queued_ms_at_least", 0), f"queued for only {times[1]} ms"
    assert same(want, got, names), f"\n  want {json.dumps(want)}\n  got  {json.dumps(got)}"


failed = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as opened:
        file = json.load(opened)
    for case in file["cases"]:
        names = {"run": uuid.uuid4().hex[:8]}
        for number, action in enumerate(case["do"], 1):
            try:
                run(action, file["outcomes"], names)
            except AssertionError as error:
                failed += 1
                print(f"{path}: {case['name']} Action {number}: {error}")
                break
sys.exit(1 if failed else 0)
