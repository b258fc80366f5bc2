"""The program `speech2vec`: one module for each group of commands; `app` puts them together."""
