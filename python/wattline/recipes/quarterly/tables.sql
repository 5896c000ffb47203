create table if not exists quarterly_energy_data (
    quarter text primary key,
    record_count bigint,
    total_energy_wh double precision,
    total_energy_kwh double precision generated always as (total_energy_wh / 1000) stored,
    avg_power_kw double precision,
    max_power_kw double precision
);
