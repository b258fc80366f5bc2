"""Numbers as they are read aloud in English, for transcripts that hold digits."""

from __future__ import annotations

# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)


_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


# fmt: on
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))


_IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> list[str]:
    """The words of a number from 0 to 999,999,999,999.

    Examples
    --------
    >>> " ".join(cardinal(1_042))
    'one thousand forty two'
    """
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else [])]
    size, name = next((size, name) for size, name in _SCALES if number >= size)
    rest = cardinal(number % size) if number % size else []
    return [*cardinal(number // size), name, *rest]


def read_digits(digits: str) -> list[str]:
    """How a run of digits is read: years in two halves, a leading zero or a very long run digit by digit.

    Examples
    --------
    >>> [" ".join(read_digits(text)) for text in ("1984", "1900", "2000", "42", "007")]
    ['nineteen eighty four', 'nineteen hundred', 'two thousand', 'forty two', 'zero zero seven']
    """
    number = int(digits) if len(digits) <= 12 else 0
    if len(digits) > 12 or (digits[0] == "0" and len(digits) > 1):
        return [_ONES[int(digit)] for digit in digits]
    if 1100 <= number < 2000 or 2010 <= number < 2100:
        century, year = divmod(number, 100)
        if year == 0:
            return [*cardinal(century), "hundred"]
        return [*cardinal(century), *(["oh"] if year < 10 else []), *cardinal(year)]
    return cardinal(number)


def ordinal(words: list[str]) -> list[str]:
    """The words of a number as a rank.

    Examples
    --------
    >>> ordinal(["twenty", "one"]), ordinal(["forty"])
    (['twenty', 'first'], ['fortieth'])
    """
    last = words[-1]
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return [*words[:-1], _IRREGULAR_ORDINALS.get(last, regular)]
