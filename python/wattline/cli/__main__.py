"""``python -m wattline.cli``: the command without its script."""

from . import main

main()
