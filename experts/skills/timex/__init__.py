"""Time expressions in English: `resolve(text, reference, zone) → resolutions`."""
