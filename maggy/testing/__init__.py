"""The simulator, the contracts of every extension point, and problems with known answers."""
