#!/usr/bin/env bash
# Builds the playground into docs/playground/dist: the compiler as WebAssembly, and the page's modules.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
target="${CARGO_TARGET_DIR:-$here/../../target}"

rustup target list --installed 2>/dev/null | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
(cd "$here/../.." && cargo build --quiet --profile wasm --target wasm32-unknown-unknown -p flowc-playground)
mkdir -p "$here/dist"
cp "$target/wasm32-unknown-unknown/wasm/flowc_playground.wasm" "$here/dist/flowc.wasm"

cd "$here"
if ! cmp -s package-lock.json node_modules/.installed; then
    npm ci --no-audit --no-fund --silent
    cp package-lock.json node_modules/.installed
fi
npm run --silent build
printf 'docs/playground/dist: the compiler has %s bytes, %s with gzip\n' "$(wc -c <dist/flowc.wasm)" "$(gzip -9 -c dist/flowc.wasm | wc -c)"
