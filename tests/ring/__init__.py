"""A real Dovecot director ring behind real sshds, on loopback, for tests and for trying the program by hand."""
