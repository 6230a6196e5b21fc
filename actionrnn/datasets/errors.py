"""What is wrong with a dataset, as its user is told."""

from actionrnn.errors import ActionRNNError


class ManifestError(ActionRNNError, ValueError):
    """A manifest that is absent, malformed or inconsistent; says the file, the line, the value."""


class ManifestNotFound(ManifestError, FileNotFoundError):
    """There is no manifest where one was expected."""
