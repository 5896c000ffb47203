"""``python -m wattline``."""

from .cli import main

main()
