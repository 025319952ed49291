"""Compares commands with docs/COMMANDS.md, which is written from the programs."""

import re

import chart

COMMANDS = (chart.ROOT / "docs/COMMANDS.md").read_text()


def faults(command):
    """What of a command does not exist. Words that begin neither with -- nor a command's name are values."""
    words = command.split()
    name = next((" ".join(words[:n]) for n in (3, 2) if f"## {' '.join(words[:n])}\n" in COMMANDS), None)
    if name is None:
        return [f"docs/COMMANDS.md has no `{command}`"]
    section = COMMANDS.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
    options = re.findall(r"--[a-z-]+", command)
    return [f"`{name}` has no option {option}" for option in options if not re.search(rf"{option}\b", section)]
