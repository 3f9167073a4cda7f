"""To be imported before ONNX Runtime, which from its import on reports to its makers unless it is told not to, keeps a
file in the user's cache for that, and starts threads. The sandbox's environment says the same; this holds elsewhere."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
