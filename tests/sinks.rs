//! One suite for every sink, as home and as follower, and what each has of its own.
//!
//! A kill is a handle dropped between two steps: nothing of it runs but what its destructor does, and no
//! sink writes in one.

#[cfg(not(all(feature = "cloud", feature = "kafka", feature = "postgres")))]
#[path = "sinks/absent.rs"]
mod absent;
#[path = "sinks/filling.rs"]
mod filling;
#[path = "sinks/fixture.rs"]
mod fixture;
#[path = "sinks/follower.rs"]
mod follower;
#[path = "sinks/full.rs"]
mod full;
#[path = "sinks/home.rs"]
mod home;
#[cfg(feature = "kafka")]
#[path = "sinks/kafka/mod.rs"]
mod kafka;
#[cfg(not(feature = "kafka"))]
use absent as kafka;
#[path = "sinks/mapping.rs"]
mod mapping;
#[path = "sinks/parquet.rs"]
mod parquet_files;
#[cfg(feature = "postgres")]
#[path = "sinks/postgres/mod.rs"]
mod postgres;
#[cfg(not(feature = "postgres"))]
use absent as postgres;
#[cfg(feature = "cloud")]
#[path = "sinks/s3.rs"]
mod s3;
#[cfg(not(feature = "cloud"))]
use absent as s3;
#[path = "sinks/sqlite.rs"]
mod sqlite;
