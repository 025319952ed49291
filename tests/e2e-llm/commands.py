"""Runs `longshore` commands for the tests in this folder."""

import json
import os
import subprocess
import time


def longshore(*arguments):
    """What a command that succeeds prints as JSON."""
    command = [os.environ["E2E_LONGSHORE"], *arguments, "--format", "json"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout)


def eventually(what, condition, seconds=120):
    """Waits until the condition gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"{what}: not within {seconds} s")


def write_chain(name, document):
    """Writes a chain into a file and returns its name."""
    with open(name, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return name
