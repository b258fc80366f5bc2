"""Emotion corpora: each folder layout read into utterances with labels, speakers and text."""
