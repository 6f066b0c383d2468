"""Where Maggy 1.x had its configs."""

from maggy import compat
from maggy.compat.configs import (
    AblationConfig,
    BaseConfig,
    HyperparameterOptConfig,
    LagomConfig,
    TfDistributedConfig,
    TorchDistributedConfig,
)

__all__ = [
    "AblationConfig",
    "BaseConfig",
    "HyperparameterOptConfig",
    "LagomConfig",
    "TfDistributedConfig",
    "TorchDistributedConfig",
]

compat.tell(__name__)
