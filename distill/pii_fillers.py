"""Sentences with marked personal data, made up: templates filled with names of many cultures.

Names come from lists and, as often, are made of their syllables, so that what is learned is how names look and where
they stand, and not the lists. The same sentences for the same seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TypeVar

from .span_measure import Marked

T = TypeVar("T")


# Slot → the type of its span; a slot that is not here is ordinary text.
TYPES = {
    "address": "address", "age": "age", "card": "", "date": "date", "email": "", "given": "person", "iban": "",
    "ip": "",
    "job": "title", "licence": "", "nationality": "nationality", "org": "organisation", "person": "person",
    "phone": "phone", "place": "place", "postcode": "postcode", "ssn": "", "street": "address", "surname": "person",
    "title": "title", "url": "", "weekday": "date", "year": "date",
}  # fmt: skip
_SLOT = re.compile(r"\{([a-z]+)\}")


def sections(name: str) -> dict[str, list[str]]:
    """The lines of a text file of this package by their [section]."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in files("expertd.distill").joinpath(name).read_text("utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            lines = found.setdefault(heading[1], [])
        else:
            lines.append(line)
    return found


def words() -> dict[str, list[str]]:
    """The names of pii_words.txt."""
    return {
        section: [word.strip() for line in lines for word in line.split(",") if word.strip()]
        for section, lines in sections("pii_words.txt").items()
    }


@dataclass(frozen=True)
class Fillers:
    """Makes what a slot stands for. names: as `words` gives them; share: of the names that are made up."""

    names: Mapping[str, Sequence[str]]
    chance: random.Random
    share: float = 0.45

    def fill(self, template: str, slot: re.Pattern[str] = _SLOT, types: Mapping[str, str] = TYPES) -> Marked:
        """The template with each slot filled. types: slot → type, "" for what is no span here."""
        parts: list[str] = []
        spans = []
        length = done = 0
        for match in slot.finditer(template):
            before, value = template[done : match.start()], self.value(match[1])
            length += len(before)
            if types.get(match[1]):
                spans.append((length, length + len(value), types[match[1]]))
            parts += [before, value]
            length += len(value)
            done = match.end()
        return Marked("".join([*parts, template[done:]]), tuple(spans))

    def value(self, slot: str) -> str:
        maker: Callable[[], str] = getattr(self, f"_{slot}")
        return maker()

    # --- People -------------------------------------------------------------------------------------------------------

    def _given(self) -> str:
        return self._mixed("given", ("", "a", "el", "in", "o", "is", "an", "ia", "ina", "ette", "ko", "ura", "ek"))

    def _surname(self) -> str:
        name = self._mixed(
            "surname",
            ("son", "sen", "ez", "ski", "ová", "ov", "er", "ini", "ides", "yan", "enko", "dóttir", "sson", "oglu",
             "well", "ton", "mann", "berg", "ström", "nen", "ić", "ese", "awa", "moto", "ade", "uka", "ham", ""),
        )  # fmt: skip
        roll = self.chance.random()
        if roll < 0.05:
            particle = self._one("de", "von", "van", "van der", "de la", "bin", "al", "Mac", "St.", "Le", "Da", "ter")
            return f"{particle} {name}"
        if roll < 0.1:
            return f"{name}-{self._from('surname')}"
        return f"{self._one('O', 'D', 'L')}'{name}" if roll < 0.115 else name

    def _person(self) -> str:
        given, surname, initial = self._given(), self._surname(), f"{self.chance.choice('ABCDEFGHJKLMNOPRSTVW')}"
        name = self._weighted(
            (46, f"{given} {surname}"),
            (14, given),
            (8, surname),
            (10, f"{given} {initial}{self._one('.', '.', '')} {surname}"),
            (4, f"{initial}. {surname}"),
            (4, f"{given} {self._given()} {surname}"),
            (4, f"{given} {surname} {self._from('surname')}"),
            (2, f"{given}-{self._from('given')} {surname}"),
            (2, f"{surname} {given}"),
            (1, f"{given} {surname} Jr."),
        )
        roll = self.chance.random()
        return name.upper() if roll < 0.04 else name.lower() if roll < 0.08 else name

    def _title(self) -> str:
        return self._from("title")

    def _job(self) -> str:
        job = self._from("job")
        return job.lower() if self.chance.random() < 0.4 and not job.isupper() else job

    def _nationality(self) -> str:
        name = self._from("nationality")
        return name.lower() if self.chance.random() < 0.12 else name

    def _age(self) -> str:
        return str(self.chance.randint(1, 99))

    # --- Places and firms ---------------------------------------------------------------------------------------------

    def _place(self) -> str:
        town = self._mixed(
            "town",
            ("ton", "ville", "burg", "berg", "ford", "ham", "by", "stad", "dorf", "hausen", "ice", "ów", "grad",
             "polis", "pur", "abad", "mouth", "field", "wick", "ino", "osa", "ria", "ejo", "kylä", "sund", "vik",
             "heim", "fors"),
        )  # fmt: skip
        place = self._weighted((60, town), (25, self._from("country")), (3, self._from("region")))
        if place == town and self.chance.random() < 0.1:
            place = f"{self._from('before_town')} {town}"
        return place.upper() if self.chance.random() < 0.06 else place

    def _street(self) -> str:
        base = self._weighted(
            (3, self._stem("surname")), (2, self._stem("town")), (2, self._from("surname")), (1, self._from("given"))
        )
        return self._weighted(
            (40, self._from("street")),
            (20, f"{base} {self._from('street_end')}"),
            (8, f"{self._from('street_head')} {self._one('', 'de ', 'del ', 'da ', 'di ', 'de la ')}{base}"),
            (12, f"{base}{self._from('street_joined')}"),
        )

    def _address(self) -> str:
        number = str(self.chance.randint(1, self._one(30, 200, 9999)))
        street, code = self._street(), self._postcode()
        town = self._stem("town") if self.chance.random() < 0.4 else self._from("town")
        unit = f"{self._from('unit')} {self.chance.randint(1, 999)}"
        country, region, comma = self._from("country"), self._from("region"), self._one(", ", "\n", " ")
        line = self._weighted(
            (6, f"{number} {street}"),
            (4, f"{street} {number}"),
            (1, f"{number}, {street}"),
            (1, f"{street} {number}{self._one('a', 'b', ' bis')}"),
        )
        return self._weighted(
            (36, line),
            (6, f"{line}{self._one(', ', ' ')}{unit}"),
            (4, f"{unit}, {line}"),
            (6, f"{line}{comma}{town}, {region} {code}"),
            (6, f"{line}{comma}{unit}{comma}{town}{comma}{country} {code}"),
            (5, f"{line} {unit}\n {town}\n {country}"),
            (5, f"{number} {line} {unit}\n{town}\n, {region}\n {country} {code}"),
            (3, f"P.O. Box {number}{self._one('', f', {town}')}"),
            (3, unit),
            (2, number),
            (2, code),
        )  # fmt: skip

    def _postcode(self) -> str:
        form = self._one(
            *(
                "#####",
                "#####",
                "####",
                "####",
                "### ##",
                "##-###",
                "#####-###",
                "####-###",
                "@@# #@@",
                "@## #@@",
                "@#@ #@#",
            ),
            *("#### @@", "###", "######"),
        )
        return self._digits(form)

    def _org(self) -> str:
        surname = self._surname()
        invented = self._stem("firm")
        pair = f"{self._from('first_half')}{self._one('', ' ')}{self._from('second_half')}"
        return self._weighted(
            (44, self._from("firm")),
            (10, f"{surname} {self._from('company')}"),
            (8, f"{surname}{self._one(' and ', ' & ', '-', ', ')}{self._from('surname')}"),
            (3, f"{surname}, {self._from('surname')} and {self._from('surname')}"),
            (10, invented),
            (6, f"{invented} {self._from('field')}"),
            (10, pair),
            (4, f"{self._one('University of', 'Bank of', 'City of', 'Museum of')} {self._from('town')}"),
            (4, f"{self._from('town')} {self._from('body')}"),
            (2, "".join(self.chance.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(self.chance.randint(3, 4)))),
        )  # fmt: skip

    # --- Numbers ------------------------------------------------------------------------------------------------------

    def _phone(self) -> str:
        return self._digits(
            self._one(
                "+## ## ### ## ##", "+## ### #######", "+## (0)## ### ## ##", "+## (0)### ### ##", "+1-###-###-####",
                "+1-###-###-####x###", "(###) ###-####", "###-###-####", "###.###.####", "### ### ####",
                "001-###-###-####", "0### ### ####", "0### #######", "0## ### ## ##", "0#### ## ## ##", "0### ## ## ##",
                "0## #### ####", "### ## ###", "## ### ###", "### ####", "#### ####", "## ## ## ##", "##-##-##-##",
                "### ### ###", "(##) ###-###", "(0##) ### ####", "0#/### ## ##", "## ### ## ##", "##########",
                "+###########", "(##) #### ####", "0#### ######", "+353 ## ### ####", "+44 #### ######",
                "+91 ##### #####",
            )
        )  # fmt: skip

    def _card(self) -> str:
        body = self._one("4", "51", "54", "37", "60", "35", "6304") + "".join(self._digits("#" * 18))
        length = 15 if body.startswith("37") else self.chance.choice((13, 16, 16, 16, 19)) if body[0] == "4" else 16
        digits = [int(digit) for digit in body[: length - 1]]
        total = sum(sum(divmod(digit * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits)))
        number = "".join(map(str, digits)) + str(-total % 10)
        return " ".join(re.findall(".{1,4}", number)) if length == 16 and self.chance.random() < 0.4 else number

    def _iban(self) -> str:
        country, length = self._one(("DE", 18), ("NL", 14), ("GB", 18), ("FR", 23), ("ES", 20), ("BE", 12))
        body = self._digits("@@@@" + "#" * (length - 4) if country in ("NL", "GB") else "#" * length)
        head = "".join(str(int(letter, 36)) for letter in f"{body}{country}00")
        number = f"{country}{98 - int(head) % 97:02d}{body}"
        return " ".join(re.findall(".{1,4}", number)) if self.chance.random() < 0.4 else number

    def _ssn(self) -> str:
        return self._digits(f"{self.chance.randint(100, 665)}-4#-1###")

    def _ip(self) -> str:
        return ".".join(str(self.chance.randint(1, 254)) for _ in range(4))

    def _licence(self) -> str:
        return self._digits(self._one("@############", "########", "@#######", "####-##-####", "@@######"))

    def _email(self) -> str:
        given, surname = (re.sub(r"\W", "", self._from(part)).lower() for part in ("given", "surname"))
        return f"{given}{self._one('.', '_', '', '-')}{surname}{self._one('', '', '7', '84')}@{self._from('mail')}"

    def _url(self) -> str:
        stem = re.sub(r"\W", "", self._from("firm")).lower()
        return self._one(
            f"https://www.{stem}.com/", f"www.{stem}.co.uk", f"http://{stem}.org", f"https://{stem}.de/kontakt"
        )

    # --- Time ---------------------------------------------------------------------------------------------------------

    def _year(self) -> str:
        return str(self.chance.randint(1930, 2026))

    def _weekday(self) -> str:
        return self._one("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

    def _date(self) -> str:
        year, month, day = self.chance.randint(1930, 2026), self.chance.randint(1, 12), self.chance.randint(1, 28)
        name = self._one(
            *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
            *("November", "December", "Jan", "Feb", "Aug", "Sept", "Oct", "Nov", "Dec"),
        )
        clock = f"{self.chance.randint(0, 23):02d}:{self.chance.randint(0, 59):02d}:{self.chance.randint(0, 59):02d}"
        return self._weighted(
            (3, f"{year}-{month:02d}-{day:02d}"),
            (2, f"{year}-{month:02d}-{day:02d} {clock}"),
            (4, f"{month}/{day}/{year}"),
            (2, f"{day:02d}.{month:02d}.{year}"),
            (2, f"{day:02d}/{month:02d}/{year % 100:02d}"),
            (4, f"{day} {name} {year}"),
            (3, f"{name} {day}, {year}"),
            (2, f"{name} {day}{self._one('', 'th')}"),
            (1, f"{day}{self._one('', 'th')} {name}"),
            (1, f"{name} {year}"),
            (2, str(year)),
            (1, self._weekday()),
        )

    # --- What is nobody's data ----------------------------------------------------------------------------------------

    def _number(self) -> str:
        return str(self.chance.randint(1, self._one(9, 99, 999, 99_999)))

    def _amount(self) -> str:
        number = self.chance.randint(1, self._one(99, 9_999))
        return self._one(f"${number}", f"{number} euros", f"£{number}.50", f"{number:,} dollars", f"€{number}")

    def _time(self) -> str:
        hour = self.chance.randint(1, 12)
        return self._one(f"{hour} pm", f"{hour}:30", f"{hour} o'clock", "noon", f"{hour + 11}:15")

    def _thing(self) -> str:
        return self._weighted(
            (5, self._from("ordinary")),
            (2, f"The {self._from('ordinary')} {self._from('ordinary')}"),
            (
                3,
                f"the {self._from('thing')}",
            ),
        )

    def _month(self) -> str:
        return self._from("month")

    def _feast(self) -> str:
        return self._from("feast")

    def _product(self) -> str:
        return self._from("product")

    def _building(self) -> str:
        return self._from("building")

    def _office(self) -> str:
        return self._from("office")

    # --- By chance ----------------------------------------------------------------------------------------------------

    def _from(self, section: str) -> str:
        return self.chance.choice(self.names[section])

    def _one(self, *choices: T) -> T:
        return self.chance.choice(choices)

    def _weighted(self, *choices: tuple[int, str]) -> str:
        return self.chance.choices([value for _, value in choices], [weight for weight, _ in choices])[0]

    def _mixed(self, section: str, endings: Sequence[str]) -> str:
        if self.chance.random() >= self.share:
            return self._from(section)
        return self._stem(section) if self.chance.random() < 0.5 else self._half(section) + self.chance.choice(endings)

    def _half(self, section: str) -> str:
        word = re.split(r"[ '-]", self._from(section))[0]
        return word[: max(3, (len(word) + 1) // 2)]

    def _stem(self, section: str) -> str:
        """The first half of one name with the second of another."""
        other = re.split(r"[ '-]", self._from(section))[-1].lower()
        return self._half(section) + other[len(other) // 2 :]

    def _digits(self, form: str) -> str:
        return "".join(
            str(self.chance.randint(0, 9))
            if sign == "#"
            else self.chance.choice("ABCEGHJKLMNPRSTVXY")
            if sign == "@"
            else sign
            for sign in form
        )
