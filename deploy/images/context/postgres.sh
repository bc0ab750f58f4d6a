#!/bin/sh
# Does what the image of PostgreSQL does: the first time it makes the data folder, the user and the
# database, and runs the scripts that are mounted for that; then it runs the server. Other programs
# are run as they are.
set -eu
if [ "$1" != postgres ]; then exec "$@"; fi

export PGDATA=/var/lib/postgresql/18/docker

if [ "$(id -u)" = 0 ]; then
    chown postgres:postgres /var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ ! -e "$PGDATA/PG_VERSION" ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); fi
    user=${POSTGRES_USER:-postgres}
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
    initdb --username="$user" --pwfile="$password" --encoding=UTF8 --locale=C \
        --locale-provider=builtin --builtin-locale=C.UTF-8 --auth-local=trust \
        --auth-host=scram-sha-256
    rm "$password"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    printf "%s\n" "listen_addresses = '*'" "unix_socket_directories = '/var/run/postgresql'" \
        >> "$PGDATA/postgresql.conf"
    pg_ctl -w -o "-c listen_addresses=" start
    export PGHOST=/var/run/postgresql PGUSER="$user" PGDATABASE="${POSTGRES_DB:-$user}"
    if [ "$PGDATABASE" != postgres ]; then createdb --maintenance-db=postgres "$PGDATABASE"; fi
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) . "$script" ;;
            *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -f "$script" ;;
        esac
    done
    pg_ctl -w -m fast stop
    unset PGHOST PGUSER PGDATABASE
fi
exec "$@"
