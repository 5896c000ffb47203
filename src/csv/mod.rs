//! CSV: bytes to typed Arrow columns and rejects.
