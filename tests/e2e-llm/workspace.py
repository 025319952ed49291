"""A model works in a real repository until its tests pass, and a gate runs them once more.

`longshore dev --exec` starts this with a simulated model (workspace-script.yaml) and the repository that run.sh makes.
"""

import os
import subprocess

from commands import eventually, longshore, write_chain

chain = write_chain("fix.json", {"id": "fix", "steps": [
    {"name": "work", "prompt": "Make the tests pass.", "model": "gpt-4o-mini", "workspace": "app",
     "tools": ["read_file", "edit_file", "run"]},
    {"name": "tests", "needs": ["work"], "gate": "tests"},
]})
ended = longshore("chain", "run", chain)
assert ended["state"] == "completed", ended

ROUNDS = [
    "Round 1, tool run: failed: exit code 101,",
    "Round 2, tool read_file: ",
    "Round 2, tool edit_file: ",
    "Round 3, tool run: ",
]


def whole_log():
    """The log of the chain, once it has all rounds."""
    command = [os.environ["E2E_LONGSHORE"], "chain", "log", "fix"]
    log = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return log if all(part in log for part in ROUNDS) else None


log = eventually("all rounds are in the log", whole_log)
rounds = [line.strip() for line in log.splitlines() if ", tool " in line]
print("\n".join(rounds))
assert [", tool run: failed" in line for line in rounds] == [True, False, False, False], log

changed = ["git", "-C", os.environ["E2E_LLM_REPOSITORY"], "diff", "--name-only"]
changed = subprocess.run(changed, stdout=subprocess.PIPE, text=True, check=True).stdout
print("changed:", changed.strip())
assert changed == "src/lib.rs\n", changed
