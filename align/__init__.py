"""Forced alignment: audio and transcripts in, words in time out, nothing silently missing."""
