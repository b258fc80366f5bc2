"""Numbers as they are read aloud in English, for transcripts with digits."""

from __future__ import annotations

import re

from num2words import num2words

_LONGEST_NUMBER = 12  # digits; longer ones are read digit by digit (num2words ends at 10 ** 306, int() at 4,300 digits)


def read_number(digits: str, *, ordinal: bool = False) -> list[str]:
    """Return the words of a run of decimal digits: years in two halves, long numbers digit by digit.

    Parameters
    ----------
    digits : str
        0 to 9 only.
    ordinal : bool
        As a rank (``1st``); years are then read as any other number.

    Examples
    --------
    >>> [" ".join(read_number(text)) for text in ("1984", "2000", "1042", "007")]
    ['nineteen eighty four', 'two thousand', 'one thousand forty two', 'zero zero seven']
    >>> read_number("21", ordinal=True)
    ['twenty', 'first']
    """
    if len(digits) > _LONGEST_NUMBER or (digits[0] == "0" and len(digits) > 1):
        words = [num2words(int(digit)) for digit in digits]
        return [*words[:-1], num2words(int(digits[-1]), to="ordinal")] if ordinal else words
    number = int(digits)
    is_year = 1100 <= number < 2000 or 2010 <= number < 2100
    kind = "ordinal" if ordinal else "year" if is_year else "cardinal"
    return [word for word in re.findall(r"\w+", num2words(number, to=kind)) if word != "and"]
