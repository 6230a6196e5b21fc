"""Trained models leave: ONNX, OpenVINO and torch.export graphs, shared folders, annotations."""
