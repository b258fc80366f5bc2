"""File formats of alignments: one module for each, with a reader (text to `Track`) and in some a writer.

`tracks` and `json_text` are shared by the formats; `recognise` tells them apart.
"""
