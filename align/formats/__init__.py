"""Alignments as others write them: one module per format, each text in, `Track` out, and back where there is a writer.

`tracks` and `json_text` are what the formats share; `recognise` tells them apart.
"""
