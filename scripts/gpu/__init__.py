"""The parts of `scripts.gpu_check`, and their results."""
