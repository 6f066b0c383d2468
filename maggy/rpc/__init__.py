"""The wire: messages, and the protocol as a value machine."""
