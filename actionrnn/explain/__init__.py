"""Why this class, and when: gates, saliency, gradient flow."""
