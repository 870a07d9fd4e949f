"""Bars for similarities in tables."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style


class Bar:
    """A bar for a similarity: empty at 0 and below, full at 1."""

    def __init__(self, share: float, width: int) -> None:
        self.share, self.width = min(max(share, 0.0), 1.0), width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws eighths of a cell, or number signs where the terminal has no such characters."""
        width = min(self.width, options.max_width)
        style = Style(color="green" if self.share >= 0.5 else "cyan")
        if options.ascii_only:
            full = round(self.share * width)
            yield Segment("#" * full + "." * (width - full), style)
            return
        eighths = round(self.share * width * 8)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]
        yield Segment(bar[:width].ljust(width), style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as it was asked to be."""
        return Measurement(self.width, self.width)
