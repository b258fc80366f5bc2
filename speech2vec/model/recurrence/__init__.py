"""LSTM and GRU layers over sequences of different lengths: no padding computed, four engines.

`cells` holds the weights and is what a model calls, `inputs` is what it hands over. `cudnn` runs torch's own layers.
`lstm` and `gru` have their gradients written out; their steps are taken by `lstm_cpu`, `gru_cpu` (compiled by numba),
`lstm_gpu`, `gru_gpu` (fused, in Triton), or `lstm_steps`, `gru_steps` (torch's operators, anywhere). `engines` chooses;
`packing`, `gates` and `products` are what they share.
"""
