"""The methods beside the published one: each a module that fits an encoder to a store (docs/methods.md)."""

from __future__ import annotations

from speech2vec.training.methods import acoustic, contrastive, distilled, meaning
from speech2vec.training.methods.method import Method

PUBLISHED = "published"  # Chung & Glass 2018, trained by `speech2vec.training.trainer`

METHODS: dict[str, Method] = {
    "acoustic": acoustic.METHOD,
    "contrastive": contrastive.METHOD,
    "meaning": meaning.METHOD,
    "distilled": distilled.METHOD,
}
