# Node.js compresses the dashboard's files. Sourced after common.sh.

node_check() {
    have node || die "Node.js is missing: install version 18 or newer from your distribution or https://nodejs.org"
    local major
    major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
    [ "$major" -ge 18 ] || die "Node.js $major is too old: version 18 or newer is needed"
}
