create table if not exists stations (station text primary key, place text not null);
insert into stations values ('s1', 'Harbour'), ('s2', 'Old town'), ('s3', 'Airport'), ('s4', 'Hill') on conflict do nothing;
create table if not exists station_hours (
    sensor_id text, hour timestamptz, readings bigint, missing bigint, temperature_mean double precision,
    temperature_min double precision, temperature_max double precision, rain_sum double precision,
    primary key (sensor_id, hour));
