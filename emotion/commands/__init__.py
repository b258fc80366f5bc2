"""The commands of the program `speech2vec-emotion`."""
