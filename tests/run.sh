#!/usr/bin/env bash
# Runs every test of the workspace; `make test` builds the programs first. Arguments go to each run of the
# end-to-end tests, for example `--skip clients::`.
#
# The end-to-end tests start servers and wait for them, so many more run at once than there are cores. Those
# that measure time or load run before all others, one at a time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Load and lateness in milliseconds: one at a time.
alone=(cron::due policy::adaptive policy::fairness reload scale)
# Three minutes at a pace that must be kept.
long=(backlog)
# Deadlines of seconds, and tests that wait for minutes: four at a time.
few=(admin::cancel admin::pause alerts chains::kills connections crash cron::leaders policy::circuit policy::outage policy::rpm time topology)
# A minute in which everything breaks.
chaos=(chaos)
# All others.
threads=${LONGSHORE_TEST_THREADS:-6}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# The tests and the servers that they start are in this process group.
trap 'trap - INT TERM; kill 0' INT TERM

it() { cargo test --workspace --test it -- "$@"; }

skip=()
for group in "${alone[@]}" "${long[@]}" "${few[@]}" "${chaos[@]}"; do
    skip+=(--skip "$group::")
done

cargo test --workspace --no-run
it "${alone[@]/%/::}" --test-threads=1 "$@"

# The rest mostly waits, so it runs beside each other. The output of three groups is printed at the end.
it "${long[@]/%/::}" --skip scripts:: --test-threads=1 "$@" >"$logs/long" 2>&1 &
long_run=$!
it "${few[@]/%/::}" --skip scripts:: --test-threads=4 "$@" >"$logs/few" 2>&1 &
few_run=$!
it "${chaos[@]/%/::}" --test-threads=1 "$@" >"$logs/chaos" 2>&1 &
chaos_run=$!
cargo test --workspace --lib --bins --test policy --test tidy || failed=1
cargo test --workspace --doc || failed=1
it "${skip[@]}" --test-threads="$threads" "$@" || failed=1
wait "$few_run" || failed=1
wait "$long_run" || failed=1
wait "$chaos_run" || failed=1
cat "$logs/few" "$logs/long" "$logs/chaos"
exit "${failed:-0}"
