# Sourced by the other scripts: words on the terminal, and where programs are looked for.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Programs that cargo installs land here, and a login shell does not always look there.
PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
export PATH
target_dir=${CARGO_TARGET_DIR:-$root/target}

say() { printf '[limelight] %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }
