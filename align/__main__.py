"""``python -m align``."""

from align.cli.app import main

if __name__ == "__main__":
    main()
