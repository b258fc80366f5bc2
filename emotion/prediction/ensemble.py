"""All networks of a run (every fold and seed) as one, from unscaled features and words to probabilities, for export."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from emotion.classifiers.networks import FittedNetwork
from emotion.settings import ModelSettings
from emotion.training.member import Member
from emotion.training.run import Run
from speech2vec.runtime.errors import UserError


class _ScaledModel(nn.Module):
    """One network with its own feature scaling, stacking, cutting and temperature."""

    mean: Tensor
    deviation: Tensor

    temperature: Tensor

    def __init__(self, trained: Member, network: nn.Module, n_features: int, settings: ModelSettings) -> None:
        super().__init__()
        self.model = network
        mean, deviation = torch.zeros(n_features), torch.ones(n_features)
        if trained.scaler is not None:
            mean, deviation = torch.from_numpy(trained.scaler.mean), torch.from_numpy(trained.scaler.deviation)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.register_buffer("temperature", torch.tensor(trained.temperature))
        self.settings = settings

    def forward(
        self,
        features: Tensor | None = None,
        n_windows: Tensor | None = None,
        words: Tensor | None = None,
        n_words: Tensor | None = None,
    ) -> Tensor:
        settings = self.settings
        if features is not None and n_windows is not None:
            scaled = (features - self.mean) / self.deviation
            features, n_windows = stack_steps(scaled, n_windows, settings.stack)
            features, n_windows = fit_steps(features, n_windows, settings.max_windows, settings.padding)
        if words is not None and n_words is not None:
            words, n_words = fit_steps(words, n_words, settings.max_words, settings.padding)
        return (self.model(features, n_windows, words, n_words) / self.temperature).softmax(dim=1)


class Ensemble(nn.Module):
    """The mean of the probabilities of all networks of a run.

    Parameters
    ----------
    run : Run
    members : sequence of Member

    Raises
    ------
    UserError
        The run's classifiers are not networks.
    """

    def __init__(self, run: Run, members: Sequence[Member]) -> None:
        super().__init__()
        n_features, settings = run.info["n_features"], run.settings.model
        models = []
        for member in members:
            if not isinstance(member.fitted, FittedNetwork):
                raise UserError(f"export writes networks only: {run.folder} is a run of the {run.model_name} model")
            models.append(_ScaledModel(member, member.fitted.network, n_features, settings))
        self.models = nn.ModuleList(models)
        self.eval()

    def forward(
        self,
        features: Tensor | None = None,
        n_windows: Tensor | None = None,
        words: Tensor | None = None,
        n_words: Tensor | None = None,
    ) -> Tensor:
        """Class probabilities of a batch of utterances.

        Parameters
        ----------
        features : Tensor [shape=(n_utterances, n_windows, n_features)]
            As extracted, not scaled, padded to one or more windows; not used by embedding models.
        n_windows : Tensor [shape=(n_utterances,)], int64, on the CPU
            Length of each utterance without padding, at least 1.
        words : Tensor [shape=(n_utterances, n_words)], int64, or [shape=(n_utterances, n_words, vector_size)]
            Rows of the vocabulary, or vectors (runs on segments), padded to one or more words; not used by acoustic
            models.
        n_words : Tensor [shape=(n_utterances,)], int64, on the CPU
            Number of words of each utterance without padding, 0 allowed.

        Returns
        -------
        Tensor [shape=(n_utterances, n_classes)]
        """
        return torch.stack([model(features, n_windows, words, n_words) for model in self.models]).mean(dim=0)


def stack_steps(x: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """As `emotion.models.batches.stack_windows`, for a padded batch.

    [shape=(B, T, F)], [shape=(B,)] -> [shape=(B, ceil(T / n), n * F)], [shape=(B,)]
    """
    if n == 1:
        return x, lengths
    n_steps = (x.shape[1] + n - 1) // n
    last = (lengths - 1).clamp(min=0).to(x.device)[:, None]  # B 1
    index = torch.arange(n_steps * n, device=x.device)[None].minimum(last)  # B n_steps*n
    repeated = x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
    return repeated.reshape(x.shape[0], n_steps, n * x.shape[2]), (lengths + n - 1) // n


def fit_steps(x: Tensor, lengths: Tensor, limit: int, padding: str) -> tuple[Tensor, Tensor]:
    """Cut sequences to `limit` steps and set the padding to zero, as `emotion.models.batches.pad`.

    [shape=(B, T, ...)], [shape=(B,)] -> [shape=(B, min(T, limit), ...)], [shape=(B,)]; with padding "zeros"
    [shape=(B, limit, ...)], and all lengths are `limit`.
    """
    lengths = lengths.clamp(max=limit)
    # sym_min: the exported network has no fixed number of steps.
    n_steps = limit if padding == "zeros" else torch.sym_min(x.shape[1], limit)
    steps = torch.arange(n_steps, device=x.device)
    x = x.index_select(1, steps.clamp(max=x.shape[1] - 1))
    ended = steps[None] >= lengths.to(x.device)[:, None]  # B n_steps
    x = torch.where(ended if x.dim() == 2 else ended[:, :, None], x.new_zeros(()), x)
    return x, torch.full_like(lengths, limit) if padding == "zeros" else lengths


def load_ensemble(run: Run, device: torch.device | str = "cpu") -> Ensemble:
    """All networks of a run, on a device; features and words have to be on it too.

    Raises
    ------
    UserError
        There are none, one is missing or damaged, or they are not networks.
    """
    return Ensemble(run, run.load_members()).to(device)
