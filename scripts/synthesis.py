"""Text to speech with espeak-ng's library, and the exact time of every word.

The library (GPL-3.0) is in the wheel `espeakng-loader`, in the extra `demo`. It keeps state between calls that nothing
resets (the phase of its oscillators, its noise). Output is reproducible, sample for sample, only in a new process, so
`in_fresh_processes` starts one for each unit of work.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import espeakng_loader
import numpy as np

from speech2vec.runtime.errors import UserError

# speak_lib.h of espeak-ng 1.52
_SYNCHRONOUS, _PHONEME_EVENTS = 2, 0x0001
_UTF8, _POS_CHARACTER = 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_END_OF_LIST, _WORD, _PHONEME = 0, 1, 7

A = TypeVar("A")
B = TypeVar("B")


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice.

    Parameters
    ----------
    language : str
        An espeak-ng language: ``en-us``, ``en`` (British), ``en-gb-scotland``, ...
    variant : str
        One of espeak-ng's voice variants (``Alex``, ``f3``, ...), or empty.
    pitch : int
        0 to 99, in espeak-ng's units.
    rate : int, words per minute
    pitch_range : int
        0 (monotone) to 99.
    """

    language: str
    variant: str = ""
    pitch: int = 50
    rate: int = 160
    pitch_range: int = 50

    @property
    def name(self) -> str:
        """The name in espeak-ng: language+variant."""
        return f"{self.language}+{self.variant}" if self.variant else self.language


@dataclass(frozen=True)
class Speech:
    """Synthesised speech, with word times.

    Parameters
    ----------
    samples : ndarray [shape=(n_samples,)], float32
        In [-1, 1].
    sampling_rate : int, Hz
    times : list of (float, float), seconds
        Start and end of each word of the input, in order.
    """

    samples: np.ndarray
    sampling_rate: int
    times: list[tuple[float, float]]


class UnmappedWordsError(Exception):
    """The synthesiser did not report the times of all words; `words` are those that are missing."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(", ".join(words))
        self.words = words


class _Library:
    """The loaded library; it has global state, so there is one per process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sampling_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
        if self.sampling_rate <= 0:
            raise RuntimeError(f"espeak-ng does not start (code {self.sampling_rate})")
        self._sound: list[bytes] = []
        self._events: list[tuple[int, int, int, bytes]] = []
        self._callback = _Callback(self._receive)  # kept alive: the library has only a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: ctypes._Pointer, n_samples: int, events: ctypes._Pointer) -> int:
        if n_samples:
            self._sound.append(ctypes.string_at(samples, 2 * n_samples))
        index = 0
        while events[index].type != _END_OF_LIST:
            event = events[index]
            if event.type == _WORD:
                self._events.append((_WORD, event.sample, event.text_position - 1, b""))
            elif event.type == _PHONEME:
                self._events.append((_PHONEME, event.sample, 0, bytes(event.id.string)))
            index += 1
        return 0

    def use(self, voice: Voice) -> None:
        # For an unknown language the library returns an error and keeps the last voice; it ignores unknown variants.
        variant = Path(espeakng_loader.get_data_path(), "voices", "!v", voice.variant)
        if not variant.exists() or self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise UserError(f"espeak-ng has no voice '{voice.name}' (a language such as en-us, + a variant such as f3)")
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            if self._library.espeak_SetParameter(parameter, value, 0) != 0:
                raise RuntimeError(f"espeak-ng refuses parameter {parameter} = {value}")

    def synthesise(self, text: str) -> tuple[np.ndarray, list[tuple[int, int, int, bytes]]]:
        self._sound, self._events = [], []
        encoded = text.encode()
        code = self._library.espeak_Synth(encoded, len(encoded) + 1, 0, _POS_CHARACTER, 0, _UTF8, None, None)
        if code != 0:
            raise RuntimeError(f"espeak-ng cannot speak (code {code}): {text[:60]}")
        self._library.espeak_Synchronize()
        return np.frombuffer(b"".join(self._sound), dtype=np.int16), self._events


@functools.cache
def _library() -> _Library:
    return _Library()


def speak(clauses: Sequence[Sequence[str]], voice: Voice) -> Speech:
    """Speak words, with a pause after each clause, and return the time of each word.

    A word lasts from the sample at which the synthesiser reports it to the start of the next word or pause.

    Raises
    ------
    UnmappedWordsError
        If the synthesiser reports no separate time for a word.
    UserError
        If the voice does not exist.
    """
    library = _library()
    library.use(voice)
    words = [word for clause in clauses for word in clause]
    if not words:
        return Speech(np.zeros(0, np.float32), library.sampling_rate, [])
    glue = [", " if last else " " for clause in clauses for last in [False] * (len(clause) - 1) + [True]]
    glue[-1] = "."
    for _ in range(3):
        starts = [0]
        for word, after in zip(words[:-1], glue, strict=False):
            starts.append(starts[-1] + len(word) + len(after))
        samples, events = library.synthesise("".join(word + after for word, after in zip(words, glue, strict=True)))
        spans = _word_spans(events, starts, len(samples))
        missing = [index for index, (start, end) in enumerate(spans) if end <= start]
        if not missing:
            rate = library.sampling_rate
            times = [(start / rate, end / rate) for start, end in spans]
            return Speech(samples.astype(np.float32) / 32768, rate, times)
        # Its dictionary holds pairs ("of the", "there was") that it reports as one word: a hyphen after the first,
        # which is not heard, keeps them apart.
        for index in missing:
            if index and not glue[index - 1].startswith(("-", ",")):
                glue[index - 1] = "- "
    raise UnmappedWordsError([words[index] for index in missing])


def _word_spans(events: list[tuple[int, int, int, bytes]], starts: list[int], n_samples: int) -> list[tuple[int, int]]:
    """First and last sample of each word (0, 0 if not reported), given where each starts in the text."""
    spans = [(0, 0)] * len(starts)
    current = -1
    for index, (kind, sample, position, name) in enumerate(events):
        if kind == _WORD:
            owner = bisect.bisect_right(starts, position) - 1
            if owner > current:
                spans[owner] = (sample, sample)
                current = owner
        elif current >= 0 and not name.startswith(b"_"):  # _ and _: are pauses
            end = events[index + 1][1] if index + 1 < len(events) else n_samples
            spans[current] = (spans[current][0], end)
    return spans


def in_fresh_processes(
    function: Callable[[A], B], items: Iterable[A], jobs: int, preload: Sequence[str] = ()
) -> Iterator[B]:
    """Call `function` on each item in a new process; yield results as they complete.

    `preload` are the modules that `function` needs. A process that dies raises an error here, while a
    `multiprocessing.Pool` would wait for it forever.
    """
    context = multiprocessing.get_context("forkserver")
    # Imported once, by the server from which all processes are forked; it never loads the library itself.
    context.set_forkserver_preload([__name__, *preload])

    def run(item: A) -> B:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(function, item, sender))
        process.start()
        sender.close()
        try:
            result, error = receiver.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"espeak-ng's process ended with code {process.exitcode}") from None
        process.join()
        if error is not None:
            raise error
        return result

    with ThreadPoolExecutor(jobs) as threads:
        futures = [threads.submit(run, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            threads.shutdown(cancel_futures=True)


def _answer(function: Callable[[A], B], item: A, sender: Connection) -> None:
    try:
        sender.send((function(item), None))
    except Exception as error:  # raised again in the parent
        sender.send((None, error))
