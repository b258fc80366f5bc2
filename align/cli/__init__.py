"""The program `speech2vec-align`: one module for each command; `app` puts them together."""
