"""Whatever shows a study: it folds the same log."""
