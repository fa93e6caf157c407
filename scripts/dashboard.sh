#!/usr/bin/env bash
# Builds the dashboard into frontend/dist, optimised and with every file compressed beside itself.
set -euo pipefail
cd "$(dirname "$0")/.."
for part in common apt wasm-target; do
    # shellcheck source=/dev/null
    source "scripts/setup/$part.sh"
done

say "building the dashboard (1 to 3 minutes from scratch)"
cargo fetch --locked --quiet
wasm_target_env
# Trunk reads NO_COLOR as a boolean and stops at the customary `1`.
unset NO_COLOR
trunk --skip-version-check build --release --offline
