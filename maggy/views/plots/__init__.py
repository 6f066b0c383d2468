"""Pictures of a study, in plotly (`pip install 'maggy[plots]'`), loaded when the first is drawn."""
