#!/usr/bin/env bash
# Makes the files of a release from programs that `make dist` built:
#
#     deploy/release/build.sh PROGRAMS_FOLDER OUTPUT_FOLDER
#
#     longshore-VERSION-TARGET.tar.gz         stripped programs, completions, man pages, systemd units, documents
#     longshore-VERSION-TARGET-debug.tar.gz   their debug information
#     longshore-VERSION-TARGET.cdx.json       the crates that they contain (CycloneDX)
#     SHA256SUMS                              the checksums of all such files of this version in OUTPUT_FOLDER
#
# The same programs and the same commit give the same bytes. Needs cargo, binutils, python3 and GNU tar.
set -euo pipefail
export LC_ALL=C
umask 022

programs=(longshore longshore-worker longshore-scheduler longshore-simulator)
features=longshore-worker/jemalloc
# The worker has 29 MB, of which 3.6 are the vocabulary that counts tokens.
max_bytes=30000000

fail() {
    echo "release: $*" >&2
    exit 1
}

[ $# -eq 2 ] || fail "expected two arguments: PROGRAMS_FOLDER OUTPUT_FOLDER"
from=$(realpath -- "$1")
mkdir -p -- "$2"
output=$(realpath -- "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"$/\1/p' Cargo.toml)
target=$(rustc -vV | sed -n 's/^host: //p')
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
name=longshore-$version-$target

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/$name
debug=$work/$name-debug
mkdir -p "$tree/bin" "$debug" "$work/done"

for program in "${programs[@]}"; do
    path=$from/$program
    [ -f "$path" ] || fail "$path does not exist; build it with \`make dist\`"
    # The simulator has no --version.
    if [ "$program" != longshore-simulator ]; then
        found=$("$path" --version) || fail "$path does not run here; make a release on a machine of its own architecture"
        case $found in
            "$program $version" | "$program $version "*) ;;
            *) fail "$path is \`$found\`, but Cargo.toml says $version; build it with \`make dist\`" ;;
        esac
    fi
    [[ $(objdump --section-headers "$path") == *" .debug_info "* ]] ||
        fail "$path has no debug information; build it with \`make dist\`"
done

# `--add-gnu-debuglink` looks for the file in the working directory, and stores its name and checksum.
for program in "${programs[@]}"; do
    objcopy --only-keep-debug "$from/$program" "$debug/$program.debug"
    (cd "$debug" && objcopy --strip-all --add-gnu-debuglink="$program.debug" "$from/$program" "$tree/bin/$program")
done

too_large=()
for program in "${programs[@]}"; do
    bytes=$(stat --format=%s "$tree/bin/$program")
    printf '%-20s %9d bytes\n' "$program" "$bytes"
    [ "$bytes" -le "$max_bytes" ] || too_large+=("$program")
done
[ ${#too_large[@]} -eq 0 ] || fail "larger than $max_bytes bytes, even without debug information: ${too_large[*]}"

# Where each shell looks for completions below /usr/local.
completions() { # SHELL
    case $1 in
        bash) echo share/bash-completion/completions/longshore ;;
        elvish) echo share/elvish/lib/longshore.elv ;;
        fish) echo share/fish/vendor_completions.d/longshore.fish ;;
        powershell) echo share/powershell/longshore.ps1 ;;
        zsh) echo share/zsh/site-functions/_longshore ;;
        *) fail "\`longshore completions\` knows the shell $1, but $0 does not know where its completions belong" ;;
    esac
}
shells=$("$tree/bin/longshore" completions --help | tr '\n' ' ' | sed -n 's/.*\[possible values: \([^]]*\)\].*/\1/p' | tr -d ,)
[ -n "$shells" ] || fail "\`longshore completions --help\` lists no shells"
for shell in $shells; do
    file=$(completions "$shell")
    mkdir -p "$tree/$(dirname "$file")"
    "$tree/bin/longshore" completions "$shell" >"$tree/$file"
done

mkdir -p "$tree/share/man"
"$tree/bin/longshore" man "$tree/share/man/man1" >"$work/man.log" 2>&1 || fail "longshore man: $(cat "$work/man.log")"

mkdir -p "$tree/lib/systemd/system" "$tree/deploy"
cp deploy/systemd/*.service "$tree/lib/systemd/system/"
cp -R deploy/examples "$tree/deploy/"
cp -R docs "$tree/"
cp deploy/release/INSTALL.md README.md CHANGELOG.md ARCHITECTURE.md SECURITY.md LICENSE "$tree/"

python3 deploy/release/sbom.py --target "$target" --features "$features" "${programs[@]}" >"$work/done/$name.cdx.json"
for folder in "$tree" "$debug"; do
    find "$folder" -type d -exec chmod 755 {} +
    find "$folder" -type f -exec chmod 644 {} +
    [ ! -d "$folder/bin" ] || chmod 755 "$folder"/bin/*
    tar --create --directory="$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --format=ustar "$(basename "$folder")" | gzip --no-name -9 >"$work/done/$(basename "$folder").tar.gz"
done

mv "$work"/done/* "$output/"
cd "$output"
sha256sum "longshore-$version"-* >SHA256SUMS
echo "$output:"
cat SHA256SUMS
