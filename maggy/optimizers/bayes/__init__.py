"""What model-based optimizers compute with: numpy, scipy and scikit-learn live here, and are loaded when asked for."""
