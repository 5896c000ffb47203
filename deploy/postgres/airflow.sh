#!/bin/sh
# Airflow's own database beside that of the readings; run once, when the volume is new.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$AIRFLOW_DB_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE airflow LOGIN PASSWORD :'password';
CREATE DATABASE airflow OWNER airflow;
SQL
