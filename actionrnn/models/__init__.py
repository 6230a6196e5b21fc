"""Features become logits."""
