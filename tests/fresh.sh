#!/usr/bin/env bash
# Builds the two programs with nothing on the PATH but Rust, gcc, binutils and coreutils, as on a machine
# where README was followed to the letter, and starts them once. Takes minutes: part of `tests/run --long`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bare=$(mktemp -d)
trap 'rm -rf "$bare"' EXIT
mkdir "$bare/bin"

# Puts a program into the bare PATH; `must` says that the build cannot do without it.
lend() {
    local must=$1 name path
    shift
    for name in "$@"; do
        if path=$(command -v "$name"); then
            ln -s "$path" "$bare/bin/$name"
        elif [[ $must == must ]]; then
            echo "fresh: $name is not installed" >&2
            exit 1
        fi
    done
}

lend must cargo rustc gcc cc ld as ar
lend may ranlib nm objcopy strip cpp sh
lend must cat chmod cp cut dirname env head install ln ls mkdir mktemp mv pwd rm
lend must sort tail touch tr true uname wc

for absent in cmake perl python3 pkg-config make git node npm; do
    if [[ -e $bare/bin/$absent ]]; then
        echo "fresh: $absent is lent though the build must do without it" >&2
        exit 1
    fi
done

PATH=$bare/bin CARGO_TARGET_DIR=$bare/target cargo build --release --locked -p aidmesh -p aidmesh-relay
"$bare/target/release/aidmesh" --version
"$bare/target/release/aidmesh-relay" --version
echo "fresh: OK"
