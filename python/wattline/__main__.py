"""The command ``wattline``, and ``python -m wattline``."""

import sys


def main() -> None:
    """Runs the command; Ctrl-C while it is still being imported ends it as one that comes later does."""
    try:
        from .cli import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("wattline: interrupted\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
