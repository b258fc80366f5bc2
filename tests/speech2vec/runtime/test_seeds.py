"""Random numbers belong to their purpose."""

from __future__ import annotations

from speech2vec.runtime.seeds import generator


def test_generators_of_one_purpose_agree_and_those_of_others_do_not() -> None:
    assert generator(1, 2, 3).random() == generator(1, 2, 3).random()
    assert len({generator(*key).random() for key in ((1, 2), (2, 1), (1, 2, 1), (1,))}) == 4
