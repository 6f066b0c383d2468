"""Studies as files: `.dv` in Starlark, and its `.py` twin."""
