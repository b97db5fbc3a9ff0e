"""Data sets and traces → gated candidate bundles; the only home of torch."""
