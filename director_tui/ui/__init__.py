"""Showing a ring: everything that knows Textual or rich."""
