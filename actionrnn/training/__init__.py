"""The LightningModule around a head: data, metrics, callbacks, checkpoints."""
