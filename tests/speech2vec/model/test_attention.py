"""Attention over the states of words of different lengths, all queries at once, against one query at a time."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2vec.model.decoder import attend
from speech2vec.model.encoder import Segments


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 20), st.integers(1, 200), st.integers(0, 2**31)
)
def test_each_query_attends_to_all_states_of_its_word_and_to_no_other(
    lengths: list[int], n_queries: int, at_once: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    n = torch.tensor(lengths)
    states = torch.randn(int(n.sum()), 3, dtype=torch.float64, generator=draw).requires_grad_()
    queries = torch.randn(n_queries, 3, dtype=torch.float64, generator=draw).requires_grad_()
    word = torch.randint(len(lengths), (n_queries,), generator=draw)
    first = n.cumsum(0) - n
    ours = attend(queries, word, Segments(states, first, n), at_once)
    expected = []
    for query, asked in zip(queries, word.tolist(), strict=True):
        own = states[first[asked] : first[asked] + n[asked]]
        expected.append(torch.softmax(own @ query, dim=0) @ own)
    theirs = torch.stack(expected)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    factor = torch.randn(ours.shape, dtype=torch.float64, generator=draw)
    gradients = [torch.autograd.grad((side * factor).sum(), [queries, states]) for side in (ours, theirs)]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
