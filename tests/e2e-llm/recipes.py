"""A job of the recipe `medium`, and a chain that asks a person, answered by a real model.

The model is tiny, so what it says of answers is nonsense at times. Then the recipe asks for a person, and that is an end as
documented. `longshore dev --exec` starts this in the folder for its files.
"""

from commands import eventually, longshore, write_chain

PROMPT = "Name three primary colours."

outcome = longshore("submit", "--mode", "medium", "--parameter", "max_tokens=64", "--prompt", PROMPT)
validation = outcome["validation"]
print("medium:", outcome["state"], f"{outcome['attempts']} calls,", "validation:", validation)
for answer in outcome["merged"]["answers"]:
    print("medium:", answer["platform"], repr(answer["output"]))
assert outcome["success"] and outcome["output"], outcome
# Two answers, one made of them, one check; nonsense is asked about once more.
assert outcome["attempts"] in (4, 5), outcome
assert validation["verdict"] in ("approve", "needs_revision", "reject"), outcome
assert outcome["attempts"] == 4 or validation["needs_human_review"], outcome

chain = write_chain("announcement.json", {"id": "announcement", "steps": [
    {"name": "draft", "prompt": PROMPT, "max_tokens": 64},
    {"name": "approval", "needs": ["draft"],
     "person": {"question": "Publish this?", "artefact": "{{ steps.draft.output }}"}},
]})
longshore("chain", "run", chain, "--detach")
asked = eventually("somebody is asked", lambda: longshore("review", "list"))
print("person:", asked)
longshore("review", "approve", asked[0]["id"], "--comment", "Good.")
ended = longshore("chain", "wait", "announcement")
print("person:", ended["state"])
assert ended["state"] == "completed", ended

calls = outcome["attempts"] + 1
eventually(
    "every call is in the ledger",
    lambda: longshore("costs")["total_attempts"] == calls,
)
print(f"{calls} calls in the ledger")
