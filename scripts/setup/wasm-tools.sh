# Trunk and wasm-bindgen, which turn the compiled dashboard into a page. Sourced after common.sh.

trunk_version=0.21.14
# The same as `wasm-bindgen` in frontend/Cargo.toml: the two must match exactly.
wasm_bindgen_version=0.2.130

wasm_tools_install() {
    if [ "$(trunk --version 2>/dev/null)" != "trunk $trunk_version" ]; then
        say "installing trunk $trunk_version (compiles for 2 to 5 minutes, once)"
        # Its speed is of no account, so it is not optimised; that halves the time.
        cargo install trunk --version "$trunk_version" --locked --no-default-features --debug --force
    fi
    if [ "$(wasm-bindgen --version 2>/dev/null)" != "wasm-bindgen $wasm_bindgen_version" ]; then
        say "installing wasm-bindgen-cli $wasm_bindgen_version (compiles for 2 to 4 minutes, once)"
        # Not --locked: its lock file names a version that not every registry mirror serves.
        cargo install wasm-bindgen-cli --version "$wasm_bindgen_version" --force
    fi
}
