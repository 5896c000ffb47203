//! Transform: readings to readings, before windows.
