#!/bin/bash
# A small model behind the OpenAI interface, end to end: `longshore dev` runs twenty prompts, a recipe, and a chain that asks a
# person against it. Then tools work in a real repository, with scripted answers. Fails unless all succeed.
#
#     tests/e2e-llm/run.sh
#
# Needs the programs in target/debug, cargo, git, Node.js 20 or newer, and Python 3 with pip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
longshore=$root/target/debug/longshore
[ -x "$longshore" ] || { echo "run.sh: no $longshore; run make build first" >&2; exit 2; }

"$here/setup.sh"

work=$(mktemp -d)
server=
running=
cleanup() {
    for process in $running $server; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Port 0: the system chooses a free one, and the server says which.
: >"$work/server.log"
node "$here/serve.mjs" --port 0 --parallel 2 >"$work/server.log" 2>&1 &
server=$!
port=
for _ in $(seq 600); do
    port=$(sed -n 's|^listening on http://127\.0\.0\.1:\([0-9]*\)$|\1|p' "$work/server.log")
    [ -n "$port" ] && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$port" ]; then
    echo "run.sh: the model server did not start:" >&2
    cat "$work/server.log" >&2
    exit 1
fi
echo "model server on port $port"

# No other provider takes part, whatever keys the environment holds.
unset OPENAI_API_KEY ANTHROPIC_API_KEY GOOGLE_API_KEY DEEPSEEK_API_KEY XAI_API_KEY MOONSHOT_API_KEY \
    ZHIPU_API_KEY MINIMAX_API_KEY OPENROUTER_API_KEY
export E2E_LLM_PORT=$port
export LONGSHORE_CONFIG=$here/longshore.yaml

# Runs `longshore dev` with these arguments. In the background, so that a signal to this script is heard at once.
dev() {
    "$longshore" dev "$@" &
    running=$!
    local code=0
    wait "$running" || code=$?
    running=
    return "$code"
}

echo "== twenty prompts"
cd "$root"
code=0
dev --exec -- \
    "$longshore" batch --input "$here/prompts.json" --parallel 2 --output "$work/results.json" || code=$?
if [ ! -s "$work/results.json" ]; then
    echo "run.sh: the batch wrote no results (exit code $code)" >&2
    cat "$work/server.log" >&2
    exit 1
fi
node "$here/report.mjs" "$work/results.json" 20
[ "$code" = 0 ] || exit "$code"

export E2E_LONGSHORE=$longshore
# Each with data of its own, and with the servers that are there already.
for part in recipes workspace; do
    mkdir -p "$work/$part/.longshore"
    [ ! -d "$root/.longshore/tools" ] || ln -s "$root/.longshore/tools" "$work/$part/.longshore/tools"
done

echo "== a recipe, and a person"
cd "$work/recipes"
LONGSHORE_CONFIG=$here/recipes.yaml dev --exec -- python3 "$here/recipes.py"

echo "== a repository, and its tests as a gate"
export E2E_LLM_REPOSITORY=$work/repository
"$here/repository.sh" "$E2E_LLM_REPOSITORY"
cd "$work/workspace"
LONGSHORE_CONFIG=$here/workspace.yaml dev --simulator-script "$here/workspace-script.yaml" \
    --exec -- python3 "$here/workspace.py"
