"""The budgets of this program, each measured beside its peer in the same run: `make bench`."""
