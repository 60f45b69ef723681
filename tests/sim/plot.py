#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the course of simulations as an SVG.

usage: plot.py [RESULT.json]... > plot.svg

Each input is the output of `aerostat-sim run --series TIME`, from standard input when no file is
given. One row of two panels each: on the left what all guests need and hold, and the budget; on the
right each of the first guests, what it needs (thin) and what it has (thick). Where it needs more
than it has, the gap is red.
"""

import json
import sys
from html import escape

WIDTH, PANEL_WIDTH, PANEL_HEIGHT = 1040, 440, 190
LEFT, TOP, GAP = 60, 56, 70
MAX_GUESTS = 4
MAX_POINTS = 400
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"]  # told apart by the colour-blind too


def thinned(values):
    """At most MAX_POINTS of the values, the extremes of each stretch kept."""
    stride = max(1, len(values) * 2 // MAX_POINTS)
    for start in range(0, len(values), stride):
        stretch = range(start, min(start + stride, len(values)))
        low = min(stretch, key=lambda i: values[i])
        high = max(stretch, key=lambda i: values[i])
        for i in sorted({low, high}):
            yield i


class Panel:
    """A pair of axes at (x, y) on the page; values are in MiB, shown in GiB."""

    def __init__(self, out, x, y, seconds, top_mib):
        self.out, self.x, self.y = out, x, y
        self.seconds = seconds
        self.duration = max(seconds[-1], 1)
        self.top = top_mib * 1.05
        out.append(f'<rect x="{x}" y="{y}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}" class="frame"/>')
        for part in (0, 0.5, 1):
            gib = top_mib * part / 1024
            out.append(f'<text x="{x - 6}" y="{self.at(0, top_mib * part)[1] + 4:.1f}" class="end">{gib:.1f}</text>')
            minutes = self.duration * part / 60
            out.append(f'<text x="{x + PANEL_WIDTH * part:.1f}" y="{y + PANEL_HEIGHT + 16}" class="middle">'
                       f'{minutes:.0f} min</text>')

    def at(self, second, mib):
        return (self.x + PANEL_WIDTH * second / self.duration,
                self.y + PANEL_HEIGHT * (1 - min(mib / self.top, 1)))

    def line(self, values, colour, width, dash=""):
        points = " ".join("%.1f,%.1f" % self.at(self.seconds[i], values[i]) for i in thinned(values))
        self.out.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="{width}"'
                        f' stroke-dasharray="{dash}" fill="none"/>')

    def gaps(self, lower, upper):
        """Red where `upper` is above `lower`."""
        bars = []
        for i, second in enumerate(self.seconds):
            if upper[i] > lower[i] + 1:
                (x, y_low), (_, y_high) = self.at(second, lower[i]), self.at(second, upper[i])
                bars.append(f"M{x:.1f} {y_low:.1f}V{y_high:.1f}")
        if bars:
            self.out.append(f'<path d="{"".join(bars)}" stroke="#d00" stroke-width="1.5"/>')

    def title(self, text):
        self.out.append(f'<text x="{self.x}" y="{self.y - 8}">{escape(text)}</text>')


def describe(result):
    total = result["sum"]
    words = [f"{result['policy']} ({result['mode']})" if result["policy"] == "aerostat" else result["policy"],
             f"{total['commands']} commands", f"{total['oom-kills']} kills"]
    if total["max-over-bytes"]:
        words.append(f"{total['max-over-bytes'] / 2**30:.1f} GiB over")
    return ", ".join(words)


def draw(out, result, y):
    series = result["series"]
    budget = result["sum"]["budget-bytes"] / 2**20
    guests = series["guests"][:MAX_GUESTS]
    host = Panel(out, LEFT, y, series["seconds"], max(series["held-mib"] + series["needed-mib"] + [budget]))
    host.title(describe(result))
    host.line([budget] * len(series["seconds"]), "#666", 1, "6 4")
    host.line(series["needed-mib"], "#999", 1)
    host.line(series["held-mib"], "#333", 1.8)
    host.gaps([budget] * len(series["seconds"]), series["held-mib"])
    top = max(max(guest["actual"] + guest["needed"]) for guest in guests)
    panel = Panel(out, LEFT + PANEL_WIDTH + GAP, y, series["seconds"], top)
    panel.title(", ".join(guest["name"] for guest in guests))
    for guest, colour in zip(guests, COLOURS):
        panel.line(guest["needed"], colour, 0.8)
        panel.line(guest["actual"], colour, 1.8)
        panel.gaps(guest["actual"], guest["needed"])


def main():
    results = [json.load(open(path, encoding="utf-8")) for path in sys.argv[1:]] or [json.load(sys.stdin)]
    height = TOP + len(results) * (PANEL_HEIGHT + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
           "<style>text{font:12px sans-serif;fill:#333}.end{text-anchor:end}.middle{text-anchor:middle}"
           ".frame{fill:none;stroke:#bbb}</style>",
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<text x="{LEFT}" y="20">{escape(results[0]["source"])}: GiB held (thick) and needed (thin), '
           "the budget (dashed); red: too little, or over the budget</text>"]
    for i, result in enumerate(results):
        draw(out, result, TOP + i * (PANEL_HEIGHT + GAP))
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main()
