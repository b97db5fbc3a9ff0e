"""Pieces of a text that are of a named type: found by patterns with checksums, and by a learned tagger.

Used by the kind `tagger`. Knows no bundle, no query and no wire.
"""
