"""Where expertctl prints: a terminal, a pipe or a file.

What the daemon says is not trusted: everything printed here has lost its control characters first, and style is added
after. Knows no command and no message's meaning.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

# Escape sequences whole, that nothing of them is left: OSC, DCS and their kin with their payload, CSI, then two bytes.
_ESCAPES = re.compile(
    "(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|\x1b[ -/]*[0-~]?"
)
# C0 but tab and newline, DEL, C1, and what turns the direction of writing or hides text.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

Row = Sequence[str]


def plain(text: str) -> str:
    """The text without escape sequences, control characters and reversed writing; tabs and newlines stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


class Terminal:
    """json: print documents for programs instead of text for people. colour: False wherever NO_COLOR says so."""

    def __init__(self, *, json: bool, colour: bool) -> None:
        self.json = json
        self.tty = sys.stdout.isatty()
        allowed = colour and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.colour = self.tty and allowed
        self._error_colour = sys.stderr.isatty() and allowed
        self.width = shutil.get_terminal_size().columns

    @property
    def redraws(self) -> bool:
        """Whether what was printed can be replaced."""
        return self.tty and os.environ.get("TERM") != "dumb"

    @property
    def unicode(self) -> bool:
        """Whether block and braille characters can be written."""
        try:
            "█⣿░│".encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return False
        return True

    def say(self, text: str = "", *, newline: bool = True, **style: Any) -> None:
        """style: as `click.style` takes it (`fg="red"`, `dim=True`); left out where there is no colour."""
        text = self._fit(plain(text))
        click.echo(click.style(text, **style) if style and self.colour else text, nl=newline, color=self.colour)

    def spans(self, parts: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """One line of differently styled pieces."""
        for text, style in parts:
            self.say(text, newline=False, **style)
        self.say()

    def warn(self, text: str, **style: Any) -> None:
        """To standard error."""
        text = self._fit(plain(text), sys.stderr.encoding)
        click.echo(click.style(text, **style) if style and self._error_colour else text, err=True)

    def document(self, value: Any, *, indent: int | None = 2) -> None:
        """One JSON document; `indent=None` for one of several lines. ASCII, so nothing in it moves a terminal."""
        from json import dumps

        click.echo(dumps(as_json(value), indent=indent))

    def line(self, value: Any) -> None:
        self.document(value, indent=None)

    def table(
        self,
        titles: Row,
        rows: Sequence[Row],
        *,
        right: frozenset[str] = frozenset(),
        whole: frozenset[str] = frozenset(),
    ) -> None:
        """right: titles of columns of numbers; whole: of those that no narrow terminal may cut, the first always.

        A column that is empty throughout is left out.
        """
        titles, rows = _without_empty(titles, rows)
        if self.tty:
            self._console().print(self._grid(titles, rows, right, whole))
            return
        from rich.cells import cell_len

        widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
        for row in (titles, *rows):
            cells = []
            for title, cell, width in zip(titles, row, widths, strict=True):
                space = " " * (width - cell_len(cell))
                cells.append(space + cell if title in right else cell + space)
            self.say("  ".join(cells).rstrip())

    def markdown(self, text: str) -> None:
        """Rendered on a terminal, as it is elsewhere."""
        if not self.tty:
            self.say(text)
            return
        from rich.markdown import Markdown

        # Links are spelled out: one that hides where it goes is not ours to print.
        self._console().print(Markdown(self._fit(plain(text)), hyperlinks=False))

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int, str], None]]:
        """Gives a function of (bytes so far, bytes in all, what happens). A bar on a terminal, else some lines."""
        if not sys.stderr.isatty():
            yield _Lines(self, plain(label))
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True, no_color=not self._error_colour)) as progress:
            task = progress.add_task(plain(label), total=None)

            def moved(done: int, total: int, what: str) -> None:
                description = f"{plain(label)}: {plain(what)}" if what else plain(label)
                progress.update(task, completed=done, total=total or None, description=description)

            yield moved

    @contextmanager
    def live(self) -> Iterator[Callable[[Row, Sequence[Row], frozenset[str], Sequence[tuple[str, bool]]], None]]:
        """Gives a function that replaces what it drew before: a table as in `table` (titles, rows, right), and lines
        below it, each with whether it is dim."""
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        # What stands in for the redirected output tells no encoding, and nothing else is printed meanwhile.
        with Live(console=self._console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as screen:

            def draw(
                titles: Row, rows: Sequence[Row], right: frozenset[str], below: Sequence[tuple[str, bool]]
            ) -> None:
                table = self._grid(*_without_empty(titles, rows), right, frozenset())
                lines = [Text(self._fit(plain(line)), style="dim" if dim else "") for line, dim in below]
                screen.update(Group(table, *lines), refresh=True)

            yield draw

    def _grid(self, titles: Row, rows: Sequence[Row], right: frozenset[str], whole: frozenset[str]) -> Any:
        from rich import box
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        look = box.SIMPLE_HEAD if self.unicode else box.ASCII2
        style = {"box": look, "pad_edge": False, "show_edge": False, "collapse_padding": True}
        table = Table(**style, header_style="bold" if self.colour else "")  # type: ignore[arg-type]
        for index, title in enumerate(titles):
            # The first column is what the others are about: it is never cut.
            least = max(cell_len(row[index]) for row in (titles, *rows)) if title in whole else None
            table.add_column(
                title,
                justify="right" if title in right else "left",
                no_wrap=index == 0 or title in whole,
                min_width=least,
                overflow="ellipsis" if index == 0 else "fold",
            )
        for row in rows:
            table.add_row(*(Text(self._fit(cell), style=_style(cell)) for cell in row))
        return table

    def _console(self) -> Any:
        from rich.console import Console

        return Console(no_color=not self.colour, highlight=False, color_system="auto" if self.colour else None)

    def _fit(self, text: str, encoding: str | None = None) -> str:
        """What the encoding cannot say becomes a question mark, instead of an error."""
        encoding = encoding or sys.stdout.encoding or "ascii"
        return text if encoding.lower().startswith("utf") else text.encode(encoding, "replace").decode(encoding)


# Words that a table colours.
_STYLES = {
    "serving": "green",
    "ready": "green",
    "ok": "green",
    "shadow": "cyan",
    "canary": "cyan",
    "failed": "red",
    "error": "red",
    "unavailable": "red",
    "draining": "yellow",
    "downloadable": "yellow",
    "downloading": "yellow",
    "warning": "yellow",
    "retired": "dim",
}


# What may stand behind such a word: how far it has come, or a remark.
_BEHIND = re.compile(r" (\d+/\d+|\([a-z ]+\))$")


def _style(cell: str) -> str:
    return _STYLES.get(_BEHIND.sub("", cell), "")


def _without_empty(titles: Row, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Plain, and without the columns that are empty throughout."""
    cells = [[plain(cell).replace("\n", " ") for cell in row] for row in rows]
    kept = [index for index, _ in enumerate(titles) if not cells or any(row[index] for row in cells)]
    return [titles[index] for index in kept], [[row[index] for index in kept] for row in cells]


class _Lines:
    """Progress for a file or a pipe: a line for each tenth, and for each thing that happens."""

    def __init__(self, terminal: Terminal, label: str) -> None:
        self._terminal = terminal
        self._label = label
        self._last: tuple[int, str] | None = None

    def __call__(self, done: int, total: int, what: str) -> None:
        tenth = 10 * done // total if total else 0
        if (tenth, what) == self._last:
            return
        self._last = (tenth, what)
        self._terminal.warn(f"{self._label}: {f'{10 * tenth} %' if total else ''} {what}".rstrip())


def as_json(value: Any) -> Any:
    """A message, or a list or mapping of them, as JSON values with the contract's field names."""
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import Message

    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True)
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value
