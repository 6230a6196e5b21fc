"""The diagnoses by name, and whatever can be drawn as one figure."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actionrnn.diagnosis.bias import BiasDiagnosis, diagnose_bias
from actionrnn.diagnosis.calibration import CalibrationDiagnosis, diagnose_calibration
from actionrnn.diagnosis.gradients import GradientsDiagnosis, diagnose_gradients
from actionrnn.diagnosis.order import OrderDiagnosis, diagnose_order
from actionrnn.evaluation.predictions import Predictions
from actionrnn.explain.evidence import ExplainedClip
from actionrnn.report.diagnosis_screens import (
    bias_screen,
    calibration_screen,
    gradients_screen,
    order_screen,
)
from actionrnn.report.plots import confusion_figure, screen_figure
from actionrnn.report.screen import Screen
from actionrnn.report.sheet import sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIAGNOSES: dict[str, Callable[..., Any]] = {
    "order": diagnose_order,
    "bias": diagnose_bias,
    "calibration": diagnose_calibration,
    "gradients": diagnose_gradients,
}
_SCREENS: dict[type, Callable[[Any], Screen]] = {
    OrderDiagnosis: order_screen,
    BiasDiagnosis: bias_screen,
    CalibrationDiagnosis: calibration_screen,
    GradientsDiagnosis: gradients_screen,
}


def screen_of(found: Any) -> Screen:
    """What a diagnosis shows."""
    return _SCREENS[type(found)](found)


def draw(found: Any) -> "Figure":
    """A figure: of predictions their confusions, of an explained clip its sheet, of a diagnosis.

    Raises:
        ActionRNNError: if matplotlib is not installed.
    """
    if isinstance(found, Predictions):
        return confusion_figure(found)
    return sheet(found) if isinstance(found, ExplainedClip) else screen_figure(screen_of(found))
