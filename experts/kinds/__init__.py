"""How each kind of bundle becomes a servable."""
