"""What a training run needs whatever the model: data, devices, run folder, export."""
