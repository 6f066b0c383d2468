"""The list of mutants fits the code. To run them takes an hour: `python tests/mutants.py`."""

import tomllib

from mutants import LIST, ROOT, Mutant

MUTANTS = [Mutant(**mutant) for mutant in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]]


def test_every_mutant_fits_the_code():
    """The text that it replaces stands in its file once."""
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in {mutant.file for mutant in MUTANTS}}
    assert [mutant.name for mutant in MUTANTS if texts[mutant.file].count(mutant.original) != 1] == []


def test_every_mutant_has_a_test():
    """The files that are to show it are there."""
    files = {word.partition("::")[0] for mutant in MUTANTS for word in mutant.test.split() if word.startswith("tests/")}
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []
    assert all(mutant.test.startswith("tests/") for mutant in MUTANTS)
