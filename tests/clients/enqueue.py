"""Enqueue one job in the flat form, wait for its outcome, print both.

    python enqueue.py [PROMPT]

Reads REDIS_URL and LONGSHORE_NAMESPACE (default: longshore). The last line is the outcome as JSON. Exit code
0 when the job succeeded, else 1.
"""

import json
import os
import sys

import redis

namespace = "{" + os.environ.get("LONGSHORE_NAMESPACE", "longshore") + "}"
prompt = sys.argv[1] if len(sys.argv) > 1 else "Name three primary colours."

# A reply may take 30 s, so the socket must wait longer than BLPOP does.
server = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, socket_timeout=40)

job_id = server.xadd(f"{namespace}:queue:default", {"type": "research", "prompt": prompt, "reply": "true"})
print(f"receipt {job_id}")

reply = server.blpop([f"{namespace}:reply:{job_id}"], timeout=30)
if reply is None:
    sys.exit(f"no outcome of {job_id} within 30 s")
_, outcome = reply
print(outcome)
sys.exit(0 if json.loads(outcome)["success"] else 1)
