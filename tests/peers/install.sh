#!/usr/bin/env bash
# install.sh PEER DIR: puts the programs of a peer, and what they need, into DIR. Prints the version on standard output,
# or fails; the last line on standard error then says why. What is there already is not installed again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peer=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)

needs() { # PROGRAM HOW
    command -v "$1" >/dev/null || { echo "$1 is not installed: $2" >&2; exit 1; }
}

# Runs the rest of the arguments unless DIR holds what these lock files name.
once() { # LOCK COMMAND...
    local lock=$here/$1 stamp=$dir/.installed
    shift
    if ! cmp -s "$lock" "$stamp"; then
        "$@"
        cp "$lock" "$stamp"
    fi
}

copy() { cp -R "$here/$peer/." "$dir"; }

node_modules() {
    needs node 'apt install nodejs npm'
    needs npm 'apt install npm'
    copy
    cp "$here/job/job.mjs" "$dir"
    cd "$dir"
    once "$peer/package-lock.json" npm install --no-audit --no-fund --loglevel=error >&2
    node -p "require('./node_modules/$1/package.json').version"
}

venv() {
    needs python3 'apt install python3-venv'
    copy
    cd "$dir"
    once "$peer/requirements.txt" fresh_venv >&2
    sed -n "s/^$1==//p" requirements.txt
}

fresh_venv() {
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
}

# One build for both.
crate() {
    needs cargo 'see rust-toolchain.toml'
    cargo build --quiet --locked --profile dist --manifest-path "$here/Cargo.toml" --target-dir "$dir/../rust" --package "peer-$peer" >&2
    ln -sf "../rust/dist/peer-$peer" "$dir/$peer"
    sed -n "s/^$peer = .*\"=\([^\"]*\)\".*/\1/p" "$here/$peer/Cargo.toml"
}

gem() {
    needs sidekiq 'apt install ruby-sidekiq ruby-hiredis'
    ruby -e 'require "hiredis"' 2>/dev/null || { echo 'the gem hiredis is missing: apt install ruby-hiredis' >&2; exit 1; }
    copy
    ruby -e 'require "sidekiq/version"; puts Sidekiq::VERSION'
}

case $peer in
    bullmq | graphile-worker) node_modules "$peer" ;;
    celery | taskiq) venv "$peer" ;;
    rusty-sidekiq | apalis-redis) crate ;;
    sidekiq) gem ;;
    *) echo "there is no peer $peer" >&2; exit 2 ;;
esac
