"""The driver: the scheduler that decides and the shells that act."""
