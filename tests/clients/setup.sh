#!/bin/sh
# Installs what the example producers need: a Python environment in .venv and packages in node_modules.
# Does nothing when they are there and the pinned versions have not changed.
set -eu
cd "$(dirname "$0")"

fresh() { # STAMP FILE...: whether STAMP holds the checksum of the files
    stamp=$1
    shift
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cat "$@" | cksum)" ]
}

if ! fresh .venv/.installed requirements.txt; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cksum <requirements.txt >.venv/.installed
fi

if ! fresh node_modules/.installed package.json package-lock.json; then
    npm ci --no-audit --no-fund --loglevel=error
    cat package.json package-lock.json | cksum >node_modules/.installed
fi
