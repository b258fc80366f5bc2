"""The program `speech2vec-emotion`: one module a command; `app` puts them together."""
