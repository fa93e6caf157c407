#!/usr/bin/env bash
# Runs every benchmark on SQLite and then on PostgreSQL, each on fresh data that is thrown away.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup/common.sh

limelight=target/release/limelight
say "on $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
for kind in fanout chain journal; do
    "$limelight" bench "$kind"
done
if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    for kind in fanout chain journal; do
        # shellcheck disable=SC2016
        scripts/with-postgres.sh bash -c '"$0" bench "$1" --database-url "$DATABASE_URL"' "$limelight" "$kind"
    done
else
    say "PostgreSQL is not installed: left out ('make setup-test' installs it)"
fi
