# Debian packages. Sourced after common.sh.

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        # Without a terminal a question for the password would wait for ever.
        if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
    else
        die "root is needed for: $* (and sudo is not there)"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >&2
}

# apt_install HOW_LONG PACKAGE...
apt_install() {
    local how_long=$1
    shift
    have apt-get || die "missing: $*. This is no Debian: install them with your own package manager, then start again"
    say "installing Debian packages: $* ($how_long)"
    apt update
    apt install -y --no-install-recommends "$@"
}
