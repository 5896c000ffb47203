create table if not exists user_hours (
    id text, hour timestamptz, users bigint, age double precision, primary key (id, hour));
create or replace view registrations as
    select hour, sum(users) as users, avg(age) as mean_age from user_hours group by hour;
