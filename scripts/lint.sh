#!/usr/bin/env bash
# Formatting and clippy with warnings denied: native crates, tests included, and the dashboard for wasm32.
set -euo pipefail
cd "$(dirname "$0")/.."
for part in common apt wasm-target; do
    # shellcheck source=/dev/null
    source "scripts/setup/$part.sh"
done

say "formatting"
cargo fmt --all --check
say "clippy, native crates and all tests"
cargo clippy --locked --workspace --all-targets -- -D warnings
if wasm_target_ready; then
    say "clippy, dashboard for $wasm_target"
    cargo clippy --locked -p limelight-frontend --target "$wasm_target" -- -D warnings
else
    say "clippy for $wasm_target needs rustup's target, which is not there: the dashboard was checked as a native crate"
fi
