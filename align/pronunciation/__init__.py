"""How words are pronounced: dictionaries, spelling to sound, numerals."""
