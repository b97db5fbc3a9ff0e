"""Bundles, the store on disk, the kinds of expert and the fleet's life cycle. Knows no router and no wire."""
