"""``python -m emotion``."""

from emotion.cli import main

main()
