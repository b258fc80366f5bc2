"""Word embeddings learned from sound: a sequence-to-sequence skip-gram over forced-aligned speech."""

__version__ = "0.1.0"
