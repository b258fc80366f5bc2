"""The aligners: PocketSphinx, CTC networks, the Montreal Forced Aligner."""
