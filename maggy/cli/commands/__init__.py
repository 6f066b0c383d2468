"""The commands: a module here is a command of its name, and its `command` is what click runs.

A module imports click, and what is light; the rest inside its functions, so that `maggy --help` is quick.
"""
