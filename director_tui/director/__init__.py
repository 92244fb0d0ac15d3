"""What a ring is: values and pure functions over them. No I/O in here, and only the standard library."""
