"""Tests outside the Rust core: the Python faces, the faults, the real services they use."""
