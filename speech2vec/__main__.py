"""``python -m speech2vec``."""

from speech2vec.cli.app import main

main()
