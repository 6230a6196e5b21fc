"""Why a class, and when: evidence, gates, saliency, heat maps, and whether to believe them."""

from actionrnn.explain.evidence import ExplainedClip, explain_clip

__all__ = ["ExplainedClip", "explain_clip"]
