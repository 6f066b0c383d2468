"""Ablation studies: which features, layers and components matter."""

from maggy.ablation.study import AblationStudy

__all__ = ["AblationStudy"]
