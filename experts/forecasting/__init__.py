"""Zero-shot forecasting of one numeric series, in numpy alone. Knows no bundle, no query text, no wire."""

from .ensemble import forecast

__all__ = ["forecast"]
