"""The parts of `scripts.gpu_check`, and how their results are written down."""
