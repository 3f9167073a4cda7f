"""Disables the telemetry of ONNX Runtime, which from its import on reports to its makers, keeps a file in the user's
cache for that, and starts threads. Import this module first. In the sandbox the environment disables it too."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
