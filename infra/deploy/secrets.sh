#!/bin/sh
# Makes what compose.yaml and the Kubernetes manifests need to keep secret, once: passwords, addresses with them, and the
# key of the ledger. What is there already is left as it is.
#
#     sh infra/deploy/secrets.sh [FOLDER] [HOST:PORT of PostgreSQL]
#
# The folder is for its owner alone; the files in it are not, because the users inside the containers read them, each of
# those that are mounted for it.
set -eu

folder=${1:-$(dirname "$0")/secrets}
server=${2:-postgres:5432}

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

if [ -e "$folder/ledger.key" ]; then
    echo "$folder is there already, and stays as it is" >&2
    exit 0
fi
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

admin=$(random 24) service=$(random 24) mlflow=$(random 24)
printf '%s' "$admin" >"$folder/postgres_password"
printf '%s' "$service" >"$folder/service_password"
printf '%s' "$mlflow" >"$folder/mlflow_password"
# Read by `fiel serve` and `fiel worker`. Further secrets, such as chat_key, go into this file too.
printf 'database_url = "postgresql://fiel_service:%s@%s/fiel"\n' "$service" "$server" >"$folder/fiel.toml"
# Read by `fiel db migrate` alone.
{
    cat "$folder/fiel.toml"
    printf 'database_owner_url = "postgresql://fiel_admin:%s@%s/fiel"\n' "$admin" "$server"
} >"$folder/migrate.toml"
# Read by MLflow, as libpq's list of services.
{
    echo '[mlflow]'
    printf 'host=%s\nport=%s\ndbname=mlflow\nuser=fiel_mlflow\n' "${server%:*}" "${server##*:}"
    printf 'password=%s\n' "$mlflow"
} >"$folder/mlflow.conf"
# Last: whoever finds it finds the rest. Without it nobody can read what the ledger holds. Keep a copy elsewhere.
head -c 32 /dev/urandom | base64 >"$folder/.ledger.key"
mv "$folder/.ledger.key" "$folder/ledger.key"
echo "made $folder; keep a copy of ledger.key apart from the backups of the database" >&2
