"""Changing a ring: what is to be done as a frozen plan, its execution, the proof of it, and the record. No textual."""
