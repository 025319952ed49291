#!/bin/bash
# Twenty real answers, end to end: a small model behind the OpenAI interface, and `longshore dev` running a batch
# against it. Fails unless all twenty succeed.
#
#     tests/e2e-llm/run.sh
#
# Needs target/debug/longshore, Node.js 20 or newer, and Python 3 with pip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
longshore=$root/target/debug/longshore
[ -x "$longshore" ] || { echo "run.sh: no $longshore; run make build first" >&2; exit 2; }

"$here/setup.sh"

work=$(mktemp -d)
server=
batch=
cleanup() {
    for process in $batch $server; do
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

cd "$root"
# In the background, so that a signal to this script is heard at once.
"$longshore" dev --exec -- \
    "$longshore" batch --input "$here/prompts.json" --parallel 2 --output "$work/results.json" &
batch=$!
code=0
wait "$batch" || code=$?
batch=

if [ ! -s "$work/results.json" ]; then
    echo "run.sh: the batch wrote no results (exit code $code)" >&2
    cat "$work/server.log" >&2
    exit 1
fi
node "$here/report.mjs" "$work/results.json" 20
exit "$code"
