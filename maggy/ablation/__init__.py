"""Ablation studies: which features, layers and components matter."""

from maggy.ablation.config import AblationConfig
from maggy.ablation.study import AblationStudy

__all__ = ["AblationConfig", "AblationStudy"]
