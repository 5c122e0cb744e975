"""Results: medians and ratios as a table for the terminal, every single figure as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from tests.bench.measure import Usage

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "bench"


class Level(StrEnum):
    """How much a goal binds."""

    MUST = "must"
    AIM = "aim"


class Figure(StrEnum):
    """What is compared."""

    WALL = "wall"
    CPU = "cpu"
    RSS = "rss"
    WIRE = "wire"


@dataclass(frozen=True, slots=True)
class Goal:
    """`ours` is at most `factor` times `theirs`; without `theirs`, at most `factor` (seconds, octets)."""

    level: Level
    figure: Figure
    ours: str
    factor: float
    theirs: str = ""


@dataclass(slots=True)
class Series:
    """What one program did, round by round."""

    usages: list[Usage] = field(default_factory=list)
    wire: list[int] = field(default_factory=list)  # octets of payload, both ways
    failure: str = ""

    def figures(self, figure: Figure) -> list[float]:
        """Return one figure of every round."""
        match figure:
            case Figure.WALL:
                return [usage.wall for usage in self.usages]
            case Figure.CPU:
                return [usage.cpu for usage in self.usages]
            case Figure.RSS:
                return [usage.rss for usage in self.usages if usage.rss]
            case Figure.WIRE:
                return [float(octets) for octets in self.wire]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and where it stands: the value or ratio of each round, and their median."""

    goal: Goal
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the value in the middle."""
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        """Tell whether the goal is met."""
        return self.median <= self.goal.factor


@dataclass(slots=True)
class Contest:
    """One task that several programs did in alternation."""

    name: str
    title: str
    goals: Sequence[Goal] = ()
    series: dict[str, Series] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def verdicts(self) -> list[Verdict]:
        """Judge every goal whose programs took part; ratios are taken inside each round."""
        found = []
        for goal in self.goals:
            ours = self._figures(goal.ours, goal.figure)
            theirs = (
                self._figures(goal.theirs, goal.figure) if goal.theirs else [1.0] * len(ours)
            )
            # A wiretap is one round, whatever the number of the others.
            if values := tuple(a / b for a, b in zip(ours, theirs, strict=False)):
                found.append(Verdict(goal, values))
        return found

    @property
    def failed(self) -> bool:
        """Tell whether a program failed or lost something."""
        return any(series.failure for series in self.series.values())

    def _figures(self, program: str, figure: Figure) -> list[float]:
        return self.series[program].figures(figure) if program in self.series else []


def show(contest: Contest) -> None:
    """Print the table of one contest."""
    rounds = max((len(series.usages) for series in contest.series.values()), default=0)
    print(f"\n{contest.name}: {contest.title} (medians of {rounds})")
    print(
        f"  {'program':<18}{'wall s':>10}{'cpu s':>10}{'rss MB':>9}{'wire KB':>10}   all walls"
    )
    for name, series in contest.series.items():
        if series.failure:
            print(f"  {name:<18}FAILED: {_short(series.failure)}")
        if series.usages:
            cells = (
                _cell(series.figures(Figure.WALL), 1, 3, 10),
                _cell(series.figures(Figure.CPU), 1, 4, 10),
                _cell(series.figures(Figure.RSS), 1e6, 1, 9),
                _cell(series.figures(Figure.WIRE), 1e3, 1, 10),
            )
            walls = " ".join(f"{usage.wall:.2f}" for usage in series.usages)
            print(f"  {name:<18}{''.join(cells)}   {walls}")
    for verdict in contest.verdicts():
        print(f"  {describe(verdict)}")
    for remark in contest.remarks:
        print(f"  ({remark})")


def describe(verdict: Verdict) -> str:
    """Put a verdict into a line."""
    goal = verdict.goal
    reached = "yes" if verdict.reached else "NO"
    if goal.theirs:
        text = f"{goal.ours} {goal.figure} <= {_fraction(goal.factor)} of {goal.theirs}"
        values = " ".join(f"{value:.3f}" for value in verdict.values)
        return f"{goal.level:<5}{text:<48}{verdict.median:>8.3f}  {reached:<4}({values})"
    scale, unit = {
        Figure.WALL: (1.0, "s"),
        Figure.CPU: (1.0, "s"),
        Figure.RSS: (1e6, "MB"),
        Figure.WIRE: (1e3, "KB"),
    }[goal.figure]
    text = f"{goal.ours} {goal.figure} <= {goal.factor / scale:g} {unit}"
    return f"{goal.level:<5}{text:<48}{verdict.median / scale:>8.3f}  {reached}"


def save(contests: Iterable[Contest], settings: Mapping[str, object]) -> Path:
    """Write every figure to .cache/bench and return the file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    content = {
        "time": now.isoformat(timespec="seconds"),
        "machine": _machine(),
        "settings": dict(settings),
        "contests": [
            {
                "name": contest.name,
                "title": contest.title,
                "remarks": contest.remarks,
                "series": {name: asdict(series) for name, series in contest.series.items()},
                "verdicts": [
                    {
                        **asdict(verdict.goal),
                        "values": verdict.values,
                        "median": verdict.median,
                        "reached": verdict.reached,
                    }
                    for verdict in contest.verdicts()
                ],
            }
            for contest in contests
        ],
    }
    path = FOLDER / f"{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def _machine() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in cpuinfo if "model name" in line), ""
    )
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def _short(failure: str) -> str:
    """Return the first and the last line: what happened, and a program's last words."""
    lines = failure.strip().splitlines()
    return " … ".join(dict.fromkeys((lines[0], lines[-1])))[:300]


def _cell(values: Sequence[float], scale: float, digits: int, width: int) -> str:
    text = f"{statistics.median(values) / scale:.{digits}f}" if values else "-"
    return f"{text:>{width}}"


def _fraction(factor: float) -> str:
    return f"1/{1 / factor:g}" if factor < 1 else f"{factor:g}x"
