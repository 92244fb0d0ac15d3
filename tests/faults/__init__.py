"""Faults injected for real, one by one: what the operator sees of each, how soon, and that nothing is lost by it.

A test is one fault: marked with :func:`~tests.faults.table.fault`, timed by the fixture ``measured``. `make faults`
runs them by themselves, and writes what they measured to docs/faults.md.
"""
