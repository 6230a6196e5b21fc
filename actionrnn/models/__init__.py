"""Features become logits: pure torch, knows no file and no Trainer."""
