"""Text → unit vector → decision. Knows no expert and no wire."""
