"""The commands of the program `speech2vec`, a module for each step of the chain."""
