"""director-tui: a terminal dashboard for the operators of a Dovecot director ring."""

from __future__ import annotations

__version__ = "0.1.0"
