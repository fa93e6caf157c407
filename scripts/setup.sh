#!/usr/bin/env bash
# Installs what is missing: `setup.sh` what a build needs, `setup.sh test` also what the tests need.
# Takes less than a second when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
for part in common apt wasm-target wasm-tools node schemathesis; do
    # shellcheck source=/dev/null
    source "scripts/setup/$part.sh"
done

have cargo || die "cargo is missing: install Rust 1.95 or newer from https://rustup.rs"
node_check
have cc || apt_install "a minute" gcc libc6-dev
wasm_target_install
wasm_tools_install

if [ "${1:-}" = test ]; then
    missing=()
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    have chromium || missing+=(chromium)
    have chromedriver || missing+=(chromium-driver)
    have prometheus && have promtool || missing+=(prometheus)
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime)
    if [ ${#missing[@]} -gt 0 ]; then apt_install "1 to 3 minutes" "${missing[@]}"; fi
    schemathesis_install
fi
