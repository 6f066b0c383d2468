"""`python -m maggy` is the command `maggy`."""

from maggy.cli.app import main

if __name__ == "__main__":
    main()
