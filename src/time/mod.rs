//! Time: text to instants, zones, grains and calendar edges. Pure integers; no clock, no I/O.
