# The standard library for wasm32, which the dashboard is compiled against. Sourced after apt.sh.
#
# rustup has it ready made. Where that download is refused, Debian's security suite has a complete
# compiler with the sources of its library, from which cargo builds the target itself.

wasm_target=wasm32-unknown-unknown
debian_rustc=/usr/bin/rustc
debian_linker=wasm-ld-22

wasm_target_ready() { [ -d "$(rustc --print sysroot)/lib/rustlib/$wasm_target/lib" ]; }

wasm_from_source_ready() {
    have "$debian_linker" && [ -x "$debian_rustc" ] && [ -x /usr/bin/cargo ] &&
        [ -d "$("$debian_rustc" --print sysroot)/lib/rustlib/src/rust/library/std" ]
}

wasm_target_install() {
    if wasm_target_ready || wasm_from_source_ready; then return; fi
    if have rustup; then
        say "adding the Rust target $wasm_target (a few seconds)"
        timeout 300 rustup target add "$wasm_target" >&2 && return
        say "rustup could not fetch the target; building it from Debian's sources instead"
    fi
    apt_install "half a minute" rustc-web cargo-web rust-web-src lld-22
    wasm_from_source_ready || die "no way found to compile for $wasm_target"
}

# Sets the environment in which cargo compiles for wasm32.
wasm_target_env() {
    if wasm_target_ready; then return; fi
    PATH="/usr/bin:$PATH"
    export PATH RUSTC=$debian_rustc CARGO=/usr/bin/cargo RUSTC_BOOTSTRAP=1
    export CARGO_UNSTABLE_BUILD_STD=std,panic_abort
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$debian_linker
}
