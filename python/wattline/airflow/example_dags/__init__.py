"""DAGs to begin with: each is a file of its own that can be copied and changed."""
