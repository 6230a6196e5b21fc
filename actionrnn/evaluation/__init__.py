"""Logits become a predictions table, and the table becomes numbers one can trust."""
