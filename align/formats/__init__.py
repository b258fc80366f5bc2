"""Alignments as others write them: one module a format, each text in, `Track` out, and back where there is a writer."""
