"""The program `speech2vec-emotion`: one module per command, each calling the function of `emotion` of that name."""
