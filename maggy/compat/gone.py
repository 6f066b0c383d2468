"""What Maggy 1.x had and nothing stands for: it can be imported, and says so where it is used."""

from __future__ import annotations

from typing import Any, ClassVar

from maggy.errors import ConfigError


class Gone:
    """Something that is no more. Raises `ConfigError`, with what to do instead, for whoever makes or inherits one."""

    instead: ClassVar[str] = ""

    def __init__(self, *_args: Any, **_named: Any) -> None:
        raise ConfigError(self.instead)

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if Gone not in cls.__bases__:
            raise ConfigError(cls.instead)


class TorchDistributedConfig(Gone):
    """Trained one PyTorch model on several machines."""

    instead = (
        "maggy trains no single model on several machines: PySpark's own TorchDistributor does, as in "
        "pyspark.ml.torch.distributor.TorchDistributor(num_processes=4, local_mode=False).run(train_fn)"
    )


class TfDistributedConfig(Gone):
    """Trained one TensorFlow model on several machines."""

    instead = f"{TorchDistributedConfig.instead}, for PyTorch, and so for Keras 3 on PyTorch"


class AbstractPruner(Gone):
    """Decided which configurations go on, and with what budget."""

    instead = (
        "there are no pruners: which running trials go on is up to a stop rule, a class with a method "
        "reason_to_stop(trial, study), and what is given more budget to an optimizer, one with ask(study, rng)"
    )


class AbstractAblator(Gone):
    """Decided what is left out."""

    instead = (
        "an ablator of your own is an optimizer of a searchspace of switches: give ablator= an instance of a class "
        "with a method ask(study, rng)"
    )
