"""Questions to a trained run: order, bias, gradients, calibration, cost."""
