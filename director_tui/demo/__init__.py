"""A ring to practise on: three simulated directors behind a real SSH server."""
