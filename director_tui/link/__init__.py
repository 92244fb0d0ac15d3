"""Reaching a ring: connections, the calls made over them, and the readings taken from them."""
