#!/usr/bin/env bash
# with-postgres.sh COMMAND...: runs a command with DATABASE_URL naming a fresh PostgreSQL that lives as
# long as the command, on a free port and in a temporary folder.
set -euo pipefail
source "$(dirname "$0")/setup/common.sh"

bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1)
[ -n "$bin" ] || die "PostgreSQL is not installed ('make setup-test' installs it)"
folder=$(mktemp -d)
# PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as_user() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
else
    as_user() { "$@"; }
fi
stop() {
    as_user "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT

port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
(
    cd "$folder"
    as_user "$bin/initdb" -D "$folder/data" -U limelight -A trust --encoding=UTF8 >/dev/null
    as_user "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/log" \
        -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder" start >/dev/null
)
DATABASE_URL="postgres://limelight@127.0.0.1:$port/postgres" "$@"
