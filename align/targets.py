"""Find which utterance or recording an alignment file belongs to, by names and paths.

A file belongs to an utterance if its path ends with the utterance's id (or the path of its audio), or the other way
round, and no other utterance fits as well: ``a/001.TextGrid`` never goes to ``b/001``, although their stems are equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speech2vec.corpus.manifest import Utterance


@dataclass(frozen=True)
class Target:
    """What an alignment file can belong to: an utterance, by its id, or a recording with all its utterances."""

    utterances: tuple[Utterance, ...]
    by_recording: bool
    paths: tuple[tuple[str, ...], ...]


class Index:
    """Utterances by their ids and recordings by their paths."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        recordings: dict[Path, list[Utterance]] = defaultdict(list)
        for utterance in utterances:
            recordings[utterance.audio].append(utterance)
        self.by_id: dict[str, Target] = {}
        self._by_stem: dict[str, list[Target]] = defaultdict(list)
        for audio, own in recordings.items():
            audio_path = audio.with_suffix("").parts
            if len(own) == 1 and own[0].start is None:
                # The only utterance of its file: its id and the path of its audio both name it.
                target = Target(tuple(own), True, (path_of(own[0].utterance_id), audio_path))
                self.by_id[own[0].utterance_id] = target
                self._add(target)
                continue
            self._add(Target(tuple(own), True, (audio_path,)))
            for utterance in own:
                target = Target((utterance,), False, (path_of(utterance.utterance_id),))
                self.by_id[utterance.utterance_id] = target
                self._add(target)

    def _add(self, target: Target) -> None:
        for stem in {path[-1] for path in target.paths if path}:
            self._by_stem[stem].append(target)

    def find(self, path: Sequence[str]) -> list[Target]:
        """Return the targets that a path fits best; several if they fit equally well."""
        exact = self.by_id.get("/".join(path))
        if exact is not None:
            return [exact]
        best, found = 0, []
        for target in self._by_stem.get(path[-1], ()) if path else ():
            fit = max(_tail_in_common(path, own) for own in target.paths)
            if fit > best:
                best, found = fit, [target]
            elif fit == best and fit:
                found.append(target)
        return found

    def owners(self, files: Mapping[Path, tuple[str, ...]]) -> tuple[dict[Path, Target], dict[str, str]]:
        """Return the target of each file, and for each utterance with an ambiguous file the reason."""
        owners: dict[Path, Target] = {}
        unclear: dict[str, str] = {}
        fits: dict[int, list[tuple[int, Path]]] = defaultdict(list)
        for path, parts in files.items():
            found = self.find(parts) or self.find(_without_second_suffix(parts))
            if len(found) == 1:
                owners[path] = found[0]
                fit = max(_tail_in_common(parts, own) for own in found[0].paths)
                fits[id(found[0])].append((fit, path))
            elif found:
                several = ", ".join(target.utterances[0].utterance_id for target in found[:3])
                for target in found:
                    unclear.update((u.utterance_id, f"{path.name} fits {several}") for u in target.utterances)
        for claims in fits.values():
            best = max(fit for fit, _ in claims)
            winners = [path for fit, path in claims if fit == best]
            for fit, path in claims:
                if fit < best:
                    del owners[path]
            if len({files[path] for path in winners}) > 1:
                names = " and ".join(str(path) for path in winners[:2])
                for path in winners:
                    unclear.update((u.utterance_id, f"{names} fit equally well") for u in owners.pop(path).utterances)
        return owners, unclear


def path_of(utterance_id: str) -> tuple[str, ...]:
    """Split an utterance id like a path (some readers take the path below the corpus as the id)."""
    return tuple(part for part in utterance_id.split("/") if part)


def _without_second_suffix(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the suffix of a stem that has one: ``x.alignment`` (of x.alignment.txt), ``x.words``."""
    return (*parts[:-1], Path(parts[-1]).stem) if parts else parts


def _tail_in_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the shorter path if the longer one ends with it, else 0."""
    shorter = min(len(a), len(b))
    return shorter if shorter and tuple(a[-shorter:]) == tuple(b[-shorter:]) else 0
