import math
from dataclasses import dataclass

import numpy as np
import pytest

from maggy import plugins
from maggy.earlystop import STOP_RULES, Median, Threshold
from maggy.errors import ConfigError
from maggy.jsonvalue import dumps, loads
from maggy.optimizers import OPTIMIZERS, Asha, Hyperband, RandomSearch, Tpe


@dataclass(frozen=True)
class Custom:
    setting: int = 1


class Adapted(Asha):
    pass


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "foreign"])  # that goes by its library's
def test_every_name_gives_its_plugin(name):
    """A name, in any case, gives the plug-in with its default settings."""
    assert plugins.by_name("optimizer", name.upper(), OPTIMIZERS) == OPTIMIZERS[name]()


def test_an_unknown_name_is_told_the_nearest():
    """The message names what was met, what comes nearest, and all there are."""
    with pytest.raises(ConfigError) as caught:
        plugins.by_name("optimizer", "ahsa", OPTIMIZERS)
    assert str(caught.value).startswith("there is no optimizer 'ahsa'; did you mean 'asha'? (there are 'asha', 'random")


@pytest.mark.parametrize(
    ("plugin", "described"),
    [
        (RandomSearch(), {"name": "randomsearch"}),
        (Asha(resource_max=81), {"name": "asha", "reduction_factor": 3, "resource_min": 1, "resource_max": 81}),
        (Adapted(), {"custom": f"{__name__}.Adapted"}),  # its settings say nothing of what it does
        (Custom(), {"custom": f"{__name__}.Custom"}),
    ],
)
def test_a_plugin_is_described(plugin, described):
    """A built-in one by its first name and settings, anybody else's by its class."""
    assert plugins.to_json(plugin, OPTIMIZERS).items() >= described.items()


@pytest.mark.parametrize(
    "plugin",
    [
        RandomSearch(),
        Asha(reduction_factor=2.5, mode="stopping"),
        Hyperband(searcher=Tpe(startup=7)),
        Median(3, 2, 1),
        Threshold(upper=math.inf, lower=-1.5),
    ],
)
def test_a_builtin_plugin_survives_its_log(plugin):
    """Described, written, read and rebuilt it is equal, infinities included."""
    registry = {**OPTIMIZERS, **STOP_RULES}
    assert plugins.from_json("plug-in", loads(dumps(plugins.to_json(plugin, registry))), registry) == plugin


class Own:
    def propose(self, study, rng):
        return {}


def test_a_plugin_within_a_plugin_is_described():
    """A searcher stands in the log with its own settings, by whatever it was named."""
    described = plugins.to_json(Asha(searcher="TPE"), OPTIMIZERS)
    assert described["searcher"] == plugins.to_json(Tpe(), OPTIMIZERS)
    assert plugins.from_json("optimizer", described, OPTIMIZERS) == Asha(searcher=Tpe())


def test_a_custom_plugin_within_a_plugin_is_passed_again():
    """The optimizer is maggy's own, but its searcher is not."""
    described = plugins.to_json(Asha(searcher=Own()), OPTIMIZERS)
    assert described["searcher"] == {"custom": f"{__name__}.Own"}
    with pytest.raises(ConfigError, match=r"the study's searcher is .*\.Own, which no log can hold: pass it again"):
        plugins.from_json("optimizer", described, OPTIMIZERS)


def test_a_setting_that_no_log_holds_is_refused():
    """Left out, it would come back from a resume as the default."""
    with pytest.raises(
        ConfigError, match=r"Asha\(resource_max=np\.int64\(81\)\) is of type int64, which no log can hold"
    ):
        plugins.to_json(Asha(resource_max=np.int64(81)), OPTIMIZERS)


def test_a_custom_plugin_is_passed_again():
    """What is not maggy's own cannot be rebuilt from a log."""
    with pytest.raises(ConfigError, match=r"the study's optimizer is .*\.Custom, which no log can hold: pass it again"):
        plugins.from_json("optimizer", plugins.to_json(Custom(), OPTIMIZERS), OPTIMIZERS)


def test_a_plugin_of_a_later_version_is_refused():
    """A name that this version does not have is an error, not another optimizer."""
    with pytest.raises(ConfigError, match="'bohb' is unknown to this version"):
        plugins.from_json("optimizer", {"name": "bohb"}, OPTIMIZERS)


def test_a_setting_of_a_later_version_is_left_out():
    """Readers ignore fields that they do not know."""
    assert plugins.from_json("optimizer", {"name": "asha", "brackets": 3}, OPTIMIZERS) == Asha()
