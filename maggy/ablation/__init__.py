"""Ablation studies; see the roadmap in ARCHITECTURE.md."""
