"""A small plot of a forecast, in characters: history, median and band. Pure; knows no terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from expertd.v1 import assistant_pb2 as assistant

from .render import moment, number, stamp

Span = tuple[str, Mapping[str, Any]]


def plot(
    history: Sequence[float], forecast: assistant.Forecast, width: int, *, unicode: bool, height: int = 10
) -> list[list[Span]]:
    """The end of the history, the median ahead and the band between the outer quantiles, as lines of styled pieces.

    width, height: in characters; a terminal narrower than 40 gets nothing. NaN is a gap.
    """
    ahead = [list(quantile.values) for quantile in forecast.quantiles]
    if not ahead or not ahead[0] or width < 40 or len(ahead) != len(forecast.levels):
        return []
    middle = min(range(len(ahead)), key=lambda index: abs(forecast.levels[index] - 0.5))
    horizon = min(map(len, ahead))
    past = list(history[-max(24, 2 * horizon) :])
    finite = [value for values in (past, *ahead) for value in values if math.isfinite(value)]
    if not finite:
        return []
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - 1, high + 1
    labels = {0: number(high), height // 2: number((low + high) / 2), height - 1: number(low)}
    gutter = max(map(len, labels.values())) + 2
    grid = _Grid(width - gutter, height, len(past) + horizon, (low, high), unicode)
    if len(ahead) > 1:
        grid.band(ahead[0], ahead[-1], len(past))
    grid.line(past, 0, "past")
    # From the last measured value on, so that the two lines meet.
    joined = past[-1:] + ahead[middle]
    grid.line(joined, len(past) - len(past[-1:]), "ahead")
    axis = "│" if unicode else "|"
    lines: list[list[Span]] = [
        [(f"{labels.get(row, ''):>{gutter - 2}} {axis}", {"dim": True}), *grid.spans(row)] for row in range(height)
    ]
    lines.append([(" " * gutter + _axis(forecast, len(past), horizon, grid.columns), {"dim": True})])
    return lines


def _axis(forecast: assistant.Forecast, past: int, horizon: int, columns: int) -> str:
    """What is left, now and right, in so many columns."""
    start = moment(forecast.start) if forecast.HasField("start") and forecast.HasField("step") else None
    step = forecast.step.ToTimedelta()
    if start is None:
        left, now, right = f"-{past}" if past else "", "now", f"+{horizon}"
    else:
        left = stamp(start, -step * past) if past else ""
        now, right = stamp(start, timedelta()), stamp(start, step * (horizon - 1))
    place = round(past / max(past + horizon - 1, 1) * (columns - 1))
    line = left.ljust(columns - len(right)) + right
    place = max(min(place, columns - len(right) - len(now) - 2), 0)
    return line[:place] + now + line[place + len(now) :] if place > len(left) + 1 or not left else line


class _Grid:
    """Lines in dots, eight to a character as braille, one to a character in ASCII; the band in whole characters."""

    def __init__(self, columns: int, rows: int, points: int, limits: tuple[float, float], unicode: bool) -> None:
        self.columns = columns
        self._rows = rows
        self._across, self._down = (2, 4) if unicode else (1, 1)
        self._unicode = unicode
        self._points = points
        self._low, self._range = limits[0], limits[1] - limits[0]
        self._dots: dict[tuple[int, int], int] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._shaded: set[tuple[int, int]] = set()

    def line(self, values: Sequence[float], first: int, name: str) -> None:
        """values: one per point from the point `first` on."""
        previous: tuple[int, int] | None = None
        for index, value in enumerate(values):
            if not math.isfinite(value):
                previous = None
                continue
            here = round(self._x(first + index)), round(self._y(value))
            for x, y in _between(previous or here, here):
                cell = x // self._across, y // self._down
                self._dots[cell] = self._dots.get(cell, 0) | _DOTS[y % self._down][x % self._across]
                self._names[cell] = name
            previous = here

    def band(self, lower: Sequence[float], upper: Sequence[float], first: int) -> None:
        begin = round(self._x(first)) // self._across
        for column in range(begin, self.columns):
            point = (column + 0.5) * self._across / (self.columns * self._across) * (self._points - 1) - first
            top, bottom = _at(upper, point), _at(lower, point)
            if not (math.isfinite(top) and math.isfinite(bottom)):
                continue
            for row in range(round(self._y(top)) // self._down, round(self._y(bottom)) // self._down + 1):
                self._shaded.add((column, row))

    def spans(self, row: int) -> Iterator[Span]:
        """The row's characters, those of one style together."""
        text, style = "", ""
        for column in range(self.columns):
            cell = column, row
            kind = self._names.get(cell) or ("band" if cell in self._shaded else "")
            if kind != style and text:
                yield text, _LINE_STYLES[style]
                text = ""
            style = kind
            text += self._character(cell, kind)
        yield text, _LINE_STYLES[style]

    def _character(self, cell: tuple[int, int], kind: str) -> str:
        if not self._unicode:
            return {"past": "*", "ahead": "o", "band": ":", "": " "}[kind]
        return chr(0x2800 + self._dots[cell]) if cell in self._dots else "░" if kind == "band" else " "

    def _x(self, point: int) -> float:
        return point / max(self._points - 1, 1) * (self.columns * self._across - 1)

    def _y(self, value: float) -> float:
        return (1 - (value - self._low) / self._range) * (self._rows * self._down - 1)


# Bits of a braille character, by row and column of its dots.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_LINE_STYLES: Mapping[str, Mapping[str, Any]] = {"": {}, "past": {}, "ahead": {"fg": "cyan"}, "band": {"fg": "blue"}}


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots of a straight line."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for step in range(steps + 1):
        yield (
            start[0] + round((end[0] - start[0]) * step / steps),
            start[1] + round((end[1] - start[1]) * step / steps),
        )


def _at(values: Sequence[float], point: float) -> float:
    """The value at a point between two, in a straight line."""
    point = min(max(point, 0.0), len(values) - 1.0)
    index = min(int(point), max(len(values) - 2, 0))
    after = values[min(index + 1, len(values) - 1)]
    return values[index] + (after - values[index]) * (point - index)
