"""LSTM and GRU layers over sequences of different lengths: no padding computed, three engines.

`layers` holds the weights and is what a model calls, with gradients written out; `inputs` is what the model hands over.
The steps are taken by `lstm_cpu`, `gru_cpu` (compiled by numba), `lstm_gpu`, `gru_gpu` (fused, in Triton), or
`lstm_steps`, `gru_steps` (torch's operators, anywhere). `engines` chooses; `packing`, `gates`, `blocks` and `fused` are
what they share.
"""
