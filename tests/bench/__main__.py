"""Benchmarks against the peers of `performance.md`'s goals, all on one Dovecot, in alternation.

    python -m tests.bench                        all of issue 2's goals in full: an hour
    python -m tests.bench g1 g4 --rounds 3
    python -m tests.bench g1 --small --programs "mpop,syncd once"

It needs root (network namespaces, the unpacked servers) and touches nothing outside .cache.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from tests.bench import far, goals
from tests.bench.goals import GOALS, Plan
from tests.bench.results import Contest, Level, describe, save, show
from tests.bench.stage import Stage
from tests.servers import debian
from tests.servers.debian import Group, NotAvailable


def main(arguments: Sequence[str]) -> int:
    """Run the chosen benchmarks; 1 when a program lost something or a "must" was missed."""
    chosen = _parser().parse_args(arguments)
    try:
        debian.ensure([Group.SERVERS, Group.PEERS])
        far.here()
    except (NotAvailable, far.NotPossible) as exc:
        print(f"no benchmarks here: {exc}")
        return 1
    if os.getloadavg()[0] > 0.5:
        print("this machine is busy: trust ratios, not seconds", file=sys.stderr)
    contests: list[Contest] = []
    with Stage() as stage:
        plan = Plan(
            stage=stage,
            rounds=chosen.rounds,
            small=chosen.small,
            slow=chosen.slow,
            programs=frozenset(filter(None, chosen.programs.split(","))),
        )
        for name in chosen.goals or goals.DEFAULT:
            for contest in GOALS[name](plan):
                show(contest)
                contests.append(contest)
    path = save(contests, {"rounds": chosen.rounds, "small": chosen.small})
    print(f"\nevery figure: .cache/bench/{path.name}")
    return _summary(contests)


def _summary(contests: Sequence[Contest]) -> int:
    missed = [
        f"{contest.name}: {describe(verdict)}"
        for contest in contests
        for verdict in contest.verdicts()
        if verdict.goal.level is Level.MUST and not verdict.reached
    ]
    failed = [contest.name for contest in contests if contest.failed]
    for line in missed:
        print(f"missed  {line}")
    for name in failed:
        print(f"failed  {name}: see its table")
    return 1 if missed or failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("goals", nargs="*", choices=[*GOALS, []], metavar="GOAL", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tenth of everything: a try-out")
    parser.add_argument(
        "--slow", action="store_true", help="getmail6 too: minutes for each pull"
    )
    parser.add_argument("--programs", default="", help="only these, by the names in the tables")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
