create table if not exists user_hours (
    id text, hour timestamptz, users bigint, age double precision, primary key (id, hour));
create table if not exists created_users (
    id text, created timestamptz, first_name text, last_name text, gender text, email text, username text, phone text,
    address text, postcode text, country text, born date, age double precision, latitude double precision,
    longitude double precision, primary key (id, created));
create or replace view registrations as
    select hour, sum(users) as users, avg(age) as mean_age from user_hours group by hour;
