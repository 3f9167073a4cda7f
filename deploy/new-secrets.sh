#!/bin/sh
# Make the secrets that deploy/compose.yaml and deploy/kubernetes expect in deploy/secrets/. A file that is there already
# is kept, so it can be run again after an upgrade.
set -eu
cd "$(dirname "$0")"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# NAME VALUE
secret() { [ -s "secrets/$1" ] || printf %s "$2" > "secrets/$1"; }

# On this machine the directory keeps others out. The files can be read by all, because containers see them with this
# mode and run as users that own nothing here.
mkdir -p secrets
chmod 700 secrets
umask 022

secret secret_key "$(random)"        # signs sessions and URLs
secret metrics_token "$(random)"     # for Prometheus
secret s3_secret_key "$(random)"
secret postgres_password "$(random)" # hexadecimal, so it needs no quoting in the URL
secret database_url "postgres://windlass:$(cat secrets/postgres_password)@postgres:5432/windlass"
secret neo4j_password "$(random)"
secret neo4j_auth "neo4j/$(cat secrets/neo4j_password)" # as Neo4j's image reads it
