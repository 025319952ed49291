#!/bin/sh
# Checks what is in deploy/, the Dockerfile, compose.yaml and the workflows, without a cluster and without a container
# engine. What a machine cannot check is skipped, with the reason: without helm, without prometheus, or before
# `make build`.
set -eu
cd "$(dirname "$0")"
for tool in python3 npm; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed: skipping the checks of deploy/"
        exit 0
    fi
done
if ! ./setup.sh; then
    echo "skipping the checks of deploy/: their tools cannot be installed here, see above"
    exit 0
fi
exec .venv/bin/python -B -m unittest --verbose --buffer "$@"
