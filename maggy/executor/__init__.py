"""The executor: a long-running task that runs one trial after another. Standard library only."""
