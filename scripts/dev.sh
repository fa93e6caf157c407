#!/usr/bin/env bash
# A server on 127.0.0.1:8080 and, in front of it, Trunk on 127.0.0.1:8081: the page is rebuilt and
# reloaded when the dashboard's sources change. Ctrl-C ends both.
set -euo pipefail
cd "$(dirname "$0")/.."
for part in common apt wasm-target; do
    # shellcheck source=/dev/null
    source "scripts/setup/$part.sh"
done

cargo build -p limelight-server
"$target_dir/debug/limelight" serve --auth off --cors-origin http://127.0.0.1:8081 "$@" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
wasm_target_env
unset NO_COLOR
trunk --skip-version-check serve --offline --address 127.0.0.1 --port 8081
