//! Input: paths, globs and standard input to unpacked bytes; file identity.
