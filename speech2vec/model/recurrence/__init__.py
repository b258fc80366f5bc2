"""LSTM and GRU layers over sequences of different lengths: no padding computed, gradients written out, three engines.

`cells` holds the weights, `lstm` and `gru` are what a model calls, `packing`, `gates` and `products` what they share.
The steps themselves are taken by `lstm_cpu`, `gru_cpu` (compiled by numba), `lstm_gpu`, `gru_gpu` (fused, in Triton),
or `lstm_steps`, `gru_steps` (torch's operators, anywhere); `engines` chooses.
"""
