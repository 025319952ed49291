#!/bin/sh
# Installs what the programs of docs/CLIENTS.md need beside the runtime of their language. Prints options that skip the
# tests of languages whose runtime is missing (`--skip clients::ruby`), and names on standard error what is missing.
set -eu
cd "$(dirname "$0")"

# LANGUAGE PROGRAM...: whether all programs are there.
has() {
    language=$1
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || { skip "$language" "$program is not installed"; return 1; }
    done
}

skip() { # LANGUAGE REASON
    echo "$2: skipping the tests of clients in $1" >&2
    echo "--skip clients::$1"
}

fresh() { # STAMP FILE...: whether STAMP holds the checksum of the files
    stamp=$1
    shift
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cat "$@" | cksum)" ]
}

if has python python3 && ! fresh .venv/.installed requirements.txt; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cksum <requirements.txt >.venv/.installed
fi

if has typescript node npm && ! fresh node_modules/.installed package.json package-lock.json; then
    npm ci --no-audit --no-fund --loglevel=error >&2
    cat package.json package-lock.json | cksum >node_modules/.installed
fi

# Debian's package, so that nothing is downloaded: golang-github-gomodule-redigo-dev.
if has go go && ! [ -d /usr/share/gocode/src/github.com/gomodule/redigo ]; then
    skip go 'golang-github-gomodule-redigo-dev (redigo, a Redis client) is not installed'
fi

if has ruby ruby && ! ruby -e 'require "redis"' 2>/dev/null; then
    skip ruby 'the gem redis is not installed'
fi

has shell redis-cli jq || true
