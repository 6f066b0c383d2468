"""The command line: one module of `maggy.cli.commands` for each command, and what they share."""
