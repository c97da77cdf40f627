"""Training, predicting and searching with several processes."""
