#!/usr/bin/env bash
# Runs every benchmark on SQLite and then on PostgreSQL, each on fresh data that is thrown away.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup/common.sh

limelight=target/release/limelight
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
unset DATABASE_URL

say "on $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
for kind in fanout chain journal; do
    "$limelight" bench "$kind" --data-dir "$data/$kind"
done
if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    for kind in fanout chain journal; do
        scripts/with-postgres.sh "$limelight" bench "$kind" --data-dir "$data/pg-$kind"
    done
else
    say "PostgreSQL is not installed: left out ('make setup-test' installs it)"
fi
