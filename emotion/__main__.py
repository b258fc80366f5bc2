"""``python -m emotion``."""

from emotion.cli.app import main

main()
