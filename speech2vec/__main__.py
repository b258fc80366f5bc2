"""``python -m speech2vec``."""

from speech2vec.cli import main

main()
