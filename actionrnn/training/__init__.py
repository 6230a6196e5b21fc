"""What the Lightning Trainer needs around the model: data, callbacks, checkpoints."""
