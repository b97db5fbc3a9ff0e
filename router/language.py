"""Which language a request is written in, told cheaply from its letters.

Character n-grams of one to five code points are hashed into a table of small vectors; their mean, through one linear
layer, scores 75 languages (the classifier of Joulin et al., 2017, "Bag of Tricks for Efficient Text Classification",
on hashed n-grams alone). The router asks one thing of it: is this surely no language that is served? A wrong yes sends
an English request away, so the threshold comes from false alarms on English requests, foreign names among them.

It knows nothing of words or meaning, and of a text it reads the first few hundred characters alone.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LANGUAGE_FILE = "language.safetensors"

LONGEST_GRAM = 5
BUCKET_BITS = 16
READ_CHARACTERS = 400
ENGLISH = frozenset({"en"})

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali",
    "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "ka": "Georgian", "kk": "Kazakh", "ko": "Korean", "la": "Latin", "lg": "Ganda", "lt": "Lithuanian", "lv": "Latvian",
    "mi": "Maori", "mk": "Macedonian", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "nb": "Norwegian Bokmål",
    "nl": "Dutch", "nn": "Norwegian Nynorsk", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sn": "Shona", "so": "Somali", "sq": "Albanian",
    "sr": "Serbian", "st": "Southern Sotho", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu",
    "th": "Thai", "tl": "Tagalog", "tn": "Tswana", "tr": "Turkish", "ts": "Tsonga", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "xh": "Xhosa", "yo": "Yoruba", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip

# Numbers, addresses, paths and code: runs of ASCII that are no words of any language.
_CODE = re.compile(r"(?<![!-~])[!-~]*(?:[0-9_=@/\\{}<>#$|^~]|[a-z]\.[a-z])[!-~]*")
# Everything that is no letter and no mark on one. The apostrophe stays: "l'", "don't"; so do ¡ and ¿.
_NO_LETTERS = re.compile(
    "[\\s\\x00-&(-@\\[-`{-\\xa0\\xa2-\\xbe\xd7\xf7\\u2000-\\u2bff\\u3000-\\u303f\\ud800-\\udfff\\ufe00-\\ufe0f\\ufffd"
    "\\U0001f000-\\U0001ffff]+"
)
_STEP, _LAST = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)
_HALF, _REST = np.uint32(13), np.uint32(32 - BUCKET_BITS)


@dataclass(frozen=True, slots=True)
class Language:
    """code: ISO 639-1, "" when the text has no word to tell from. probability: that it is this one, among those known.
    english: probability that it is English; 1 when there is no word, since nothing speaks against it."""

    code: str
    name: str
    probability: float
    english: float


NOTHING_TO_TELL = Language("", "", 0.0, 1.0)


def plain(text: str) -> str:
    """What is read of a text: lower case, composed (NFC), words between single spaces, code and numbers left out."""
    text = unicodedata.normalize("NFC", text[:READ_CHARACTERS]).lower().replace("’", "'")
    return _NO_LETTERS.sub(" ", f" {_CODE.sub(' ', text)} ")


def grams(text: str) -> npt.NDArray[np.uint32]:
    """Buckets of all n-grams of 1 to 5 characters, uint32 (n,), each below 2 ** BUCKET_BITS; empty without a word."""
    read = plain(text)
    if len(read) < 3:
        return np.zeros(0, np.uint32)
    points = np.frombuffer(read.encode("utf-32-le", "surrogatepass"), np.uint32)
    # A rolling multiplicative hash: each order grows from the one before by one character.
    orders = [points * _STEP]
    for length in range(1, min(LONGEST_GRAM, len(points))):
        orders.append((orders[-1][:-1] ^ points[length:]) * _STEP)
    found: npt.NDArray[np.uint32] = np.concatenate(orders)
    found ^= found >> _HALF
    found *= _LAST
    found >>= _REST
    return found


@dataclass(frozen=True, eq=False)
class Recogniser:
    """table: int8 (2 ** BUCKET_BITS, d), a vector per bucket. layer: float32 (d, k), bias: float32 (k,), for k codes.

    sharpness: scores are multiplied by sharpness[0] · n ** sharpness[1] for n n-grams, so that the softmax over them is
    a probability (temperature scaling, Guo et al., 2017, that knows the length).
    threshold: a text is surely foreign when the served languages together are less probable than this.
    """

    codes: tuple[str, ...]
    table: npt.NDArray[np.int8]
    layer: Floats
    bias: Floats
    sharpness: tuple[float, float]
    threshold: float

    @classmethod
    def load(cls, path: Path | None = None) -> Recogniser:
        """The one that is shipped, or that in `path`.

        Raises: ValueError: the file is not a language model. OSError: it cannot be read.
        """
        from safetensors import SafetensorError, safe_open

        path = path or Path(__file__).parent / "data" / LANGUAGE_FILE
        try:
            with safe_open(path, framework="numpy") as file:
                codes = tuple(file.metadata()["codes"].split())
                table, layer, bias = (file.get_tensor(name) for name in ("table", "layer", "bias"))
                sharpness, threshold = file.get_tensor("sharpness"), file.get_tensor("threshold")
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: not a language model ({error}); make it with expertd.distill.language"
            ) from error
        shapes = (table.shape, layer.shape, bias.shape, sharpness.shape, threshold.shape)
        width = layer.shape[0]
        if shapes != ((1 << BUCKET_BITS, width), (width, len(codes)), (len(codes),), (2,), (1,)):
            raise ValueError(f"{path}: not a language model (shapes {shapes}); make it with expertd.distill.language")
        return cls(
            codes,
            table,
            layer.astype(np.float32),
            bias.astype(np.float32),
            (float(sharpness[0]), float(sharpness[1])),
            float(threshold[0]),
        )

    def probabilities(self, text: str) -> Floats:
        """float32 (k,), in the order of `codes`, sum 1; all 0 when there is no word to tell from."""
        buckets = grams(text)
        return self.of_grams(buckets) if len(buckets) else np.zeros(len(self.codes), np.float32)

    def recognise(self, text: str) -> Language:
        """The likeliest language of any text; NOTHING_TO_TELL for one without words."""
        buckets = grams(text)
        if not len(buckets):
            return NOTHING_TO_TELL
        found = self.of_grams(buckets)
        return self._language(found, int(found.argmax()))

    def foreign(self, text: str, served: frozenset[str] = ENGLISH) -> Language | None:
        """The language of a text that is surely in none of `served`; None when it is, or may be, or has no word.

        The threshold is fitted for English; for other served languages it is the same demand on the odds, unmeasured.
        Raises: ValueError: `served` is empty or names a language that cannot be recognised.
        """
        places = [self._place(code) for code in served]
        if not places:
            raise ValueError("served is empty; name at least one language that is served, such as en")
        buckets = grams(text)
        if not len(buckets):
            return None
        found = self.of_grams(buckets)
        if found[places].sum() >= self.threshold:
            return None
        others = found.copy()
        others[places] = -1
        return self._language(found, int(others.argmax()))

    def of_grams(self, buckets: npt.NDArray[np.uint32]) -> Floats:
        """Probabilities, float32 (k,), from at least one bucket."""
        count = len(buckets)
        total = np.ones(count, np.float32) @ self.table.take(buckets, axis=0).astype(np.float32)
        scores = (total * np.float32(count**-0.5)) @ self.layer + self.bias
        scores *= np.float32(self.sharpness[0] * count ** self.sharpness[1])
        scores = np.exp(scores - scores.max())
        return np.asarray(scores / scores.sum())

    @cached_property
    def _places(self) -> dict[str, int]:
        return {code: place for place, code in enumerate(self.codes)}

    def _place(self, code: str) -> int:
        place = self._places.get(code)
        if place is None:
            near = difflib.get_close_matches(code, self.codes, 1, 0.4)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(self.codes)}"
            raise ValueError(f'"{code}" is no language that can be recognised; {hint}')
        return place

    def _language(self, found: Floats, place: int) -> Language:
        code = self.codes[place]
        english = self._places.get("en")
        return Language(
            code, NAMES.get(code, code), float(found[place]), 0.0 if english is None else float(found[english])
        )
