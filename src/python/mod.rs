//! The Python binding: translates, decides nothing.
