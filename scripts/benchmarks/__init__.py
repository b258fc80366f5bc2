"""Benchmarks: one script per subject (`bench_*`, `kernel_resources`), and what they share with `scripts.gpu`."""
