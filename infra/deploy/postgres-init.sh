#!/bin/sh
# Roles and logins of fiel in a PostgreSQL of its own; run by a superuser, over the database that fiel is to use. The
# image of PostgreSQL runs it once, when its volume is empty; running it again changes nothing but the passwords.
#
# fiel_service, the login of API and workers, can do what the role fiel_runtime can, and owns nothing. Migrations run as
# whoever runs this. MLflow has a database of its own, in which fiel's logins have no business, and the other way round.
set -eu

SECRETS=${SECRETS:-/run/secrets}
export SECRETS

: "${POSTGRES_USER:?names a superuser}" "${POSTGRES_DB:?names the database of fiel}"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
SET client_min_messages = warning;
\set service `cat "$SECRETS/service_password"`
\set mlflow `cat "$SECRETS/mlflow_password"`

SELECT format('CREATE ROLE %I %s', name, login)
  FROM (VALUES ('fiel_owner', 'NOLOGIN'), ('fiel_runtime', 'NOLOGIN'), ('fiel_service', 'LOGIN'),
               ('fiel_mlflow', 'LOGIN')) AS wanted (name, login)
 WHERE name NOT IN (SELECT rolname FROM pg_roles)
\gexec

GRANT fiel_runtime TO fiel_service;
ALTER ROLE fiel_service PASSWORD :'service';
ALTER ROLE fiel_mlflow PASSWORD :'mlflow';

SELECT 'CREATE DATABASE mlflow OWNER fiel_mlflow'
 WHERE 'mlflow' NOT IN (SELECT datname FROM pg_database)
\gexec

REVOKE ALL ON DATABASE mlflow FROM PUBLIC;
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database())
\gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO fiel_service', current_database())
\gexec
SQL
