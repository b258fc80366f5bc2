"""The program `speech2vec-align`: one module a command; `app` puts them together."""
