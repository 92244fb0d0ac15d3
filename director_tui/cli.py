"""The command line: options to what is run, and the exit status.

0 fine; 1 only from ``check``: reached, but something is wrong; 2 usage or configuration; 3 the ring could not be
reached or read; 70 a fault of this program itself; 130 interrupted. Textual and asyncssh are imported only where they
are needed: ``--help`` loads neither.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import selectors
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from director_tui.errors import ConfigError, DirectorTuiError, InternalFault, StateError, UsageError
from director_tui.terminal import ask, give_up, somebody_is_there, tell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from director_tui.config import ClusterConfig, Config
    from director_tui.link.checkup import Finding
    from director_tui.link.questions import Ask
    from director_tui.link.ring import Ring
    from director_tui.ui.watch import OpenRing

FINE: Final = 0
SOMETHING_WRONG: Final = 1
INTERRUPTED: Final = 130

LOG_LEVELS: Final = ("debug", "info", "warning")

LONGEST_SPAN: Final = 8
"""Digits of a length of time."""

PREDICTED: Final = ("add", "update", "up", "down", "remove", "flush")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with these arguments (``sys.argv`` without them) and return its exit status."""
    gc.disable()  # until all is imported: to look for garbage among it took an eighth of the start
    try:
        try:
            return _run(argv)
        finally:
            gc.enable()
            _flush()
    except DirectorTuiError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        give_up(sys.stdout)  # whoever read our output has gone
        return FINE
    except Exception as error:  # noqa: BLE001 - the outermost place: what nobody foresaw is said without a traceback
        return _failed(InternalFault(error))


def _run(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    options.directors = [*(options.directors_before or ()), *(options.directors_after or ())]
    run: Callable[[argparse.Namespace], int] = options.run
    if options.log is None:
        if options.log_level is not None:
            raise UsageError("--log-level needs --log FILE", "without it nothing is logged")
        return run(options)
    from director_tui.log import LOG, open_log

    open_log(options.log, options.log_level or "info")
    status = run(options)
    LOG.info("ends with exit status %d", status)
    return status


def _flush() -> None:
    """Write now what Python would write at exit, when nobody could be told any more that it failed."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up(sys.stdout)
        raise UsageError(f"standard output can't be written: {error.strerror}") from None


def _failed(error: DirectorTuiError) -> int:
    """Say what failed and where, and what to do."""
    from director_tui.log import LOG, where_more_is, without_output

    LOG.error("ends with exit status %d: %s", error.exit_status, without_output(error))
    tell(f"director-tui: {error}")
    tell(f"{error.remedy}; {where_more_is()}" if isinstance(error, InternalFault) else error.remedy)
    return error.exit_status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help shows what there is")


class _Versions(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from director_tui.versions import versions

        if sys.stdout is not None:
            sys.stdout.write(f"{versions()}\n")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="director-tui",
        description="A terminal dashboard for the operators of a Dovecot director ring. It shows what the ring is "
        "doing, and changes it by plans that are shown, and agreed to, first.",
        epilog="Without a command: the dashboard of the default cluster. director-tui demo needs no server. The "
        "commands change nothing on a ring; only the dashboard does.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_Versions, nargs=0, help="of everything that a report of a fault has to name"
    )
    _common(parser, None, "directors_before")
    parser.set_defaults(run=_dashboard, directors_after=None)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)

    def command(name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        _common(sub, argparse.SUPPRESS, "directors_after")
        sub.set_defaults(run=run)
        return sub

    from director_tui.demo.drills import CALM, SUMMARIES

    demo = command("demo", "the dashboard on a practice ring inside the program; needs no server", _demo)
    demo.add_argument("--backends", type=_whole(1, 400), default=8, metavar="N", help="how many backends (8)")
    demo.add_argument("--users", type=_whole(0, 1_000_000), default=20_000, metavar="N", help="about how many (20000)")
    demo.add_argument("--seed", type=_whole(0, 2**32), default=1, metavar="N", help="same seed, same ring (1)")
    demo.add_argument("--speed", type=_number(0.1, 600), default=1.0, metavar="X", help="how fast its time runs (1)")
    demo.add_argument(
        "--scenario", choices=SUMMARIES, default=CALM, metavar="NAME", help=f"what happens on it, see below ({CALM})"
    )
    demo.formatter_class = argparse.RawDescriptionHelpFormatter
    demo.epilog = "scenarios:\n" + "\n".join(f"  {name:<16}{summary}" for name, summary in SUMMARIES.items())
    status = command("status", "one reading of the ring, then exit", _status)
    status.add_argument("--json", action="store_true", help="as JSON")
    lookup = command("lookup", "where a user is, and would be", _lookup)
    lookup.add_argument("user", metavar="USER")
    lookup.add_argument("--tag", metavar="TAG", help="only in this tag (default: in every one)")
    lookup.add_argument("--json", action="store_true", help="as JSON")
    predict = command("predict", "what a change would do to shares and users; changes nothing", _predict)
    predict.add_argument("action", choices=PREDICTED, metavar="add|update|up|down|remove|flush")
    predict.add_argument("ip", metavar="IP", help="the backend; for flush also: all")
    predict.add_argument(
        "vhosts", metavar="VHOSTS", nargs="?", type=_whole(0, 1000), help="0 to 1000; for update and add"
    )
    predict.add_argument("--tag", default="", metavar="TAG", help="of the backend to add (default: none)")
    predict.add_argument("--exact", action="store_true", help="count users by their hashes instead of estimating them")
    predict.add_argument("--json", action="store_true", help="as JSON")
    command("check", "try every step of reaching the ring and say which one fails", _check)
    journal = command("journal", "what was done to the ring from here, and what was seen to change", _journal)
    journal.add_argument("--since", type=_span, metavar="TIME", help="not before 90s, 15m, 2h or 3d ago (default: all)")
    journal.set_defaults(form="")
    form = journal.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", help="its records, as one array")
    form.add_argument("--markdown", dest="form", action="store_const", const="markdown", help="as a report")
    return parser


def _common(parser: argparse.ArgumentParser, default: str | None, directors: str) -> None:
    """The options that stand before or after the command; those after it must not reset those before it."""
    group = parser.add_argument_group("options for every command")
    group.add_argument("-c", "--cluster", default=default, metavar="NAME", help="a cluster of the configuration")
    group.add_argument("--config", type=Path, default=default, metavar="FILE", help="another config.toml")
    group.add_argument(
        "-d",
        "--director",
        dest=directors,
        action="append",
        metavar="[USER@]HOST[:PORT]",
        help="a director of a ring that is not configured; repeatable",
    )
    group.add_argument(
        "--doveadm",
        default=default,
        metavar="CMD",
        help='how doveadm is called ("sudo -n doveadm"), and so doveconf; plain "doveconf" if no word of it is doveadm',
    )
    group.add_argument(
        "--read-only",
        action="store_true",
        default=default or False,
        help="never change anything on the ring: the changing keys are hidden, and refused",
    )
    group.add_argument(
        "--interval", type=_number(0.2, 3600), default=default, metavar="SECONDS", help="between readings (2)"
    )
    group.add_argument("--theme", default=default, metavar="NAME", help="the colours of the dashboard")
    group.add_argument(
        "--log",
        type=Path,
        default=default,
        metavar="FILE",
        help="add to FILE what the program does, a line each: connections, fail-overs, commands with exit status and "
        "time, operations; no names of users, no output, no passwords",
    )
    group.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default=default,
        metavar="|".join(LOG_LEVELS),
        help="debug: each reading command, too; warning: only what fails (info)",
    )


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"a number from {low:g} to {high:g} was expected, not {text!r}")
        return value

    return number


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"a whole number from {low} to {high} was expected, not {text!r}")
        return int(text)

    return whole


def _span(text: str) -> timedelta:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], units.get(text[-1:])
    if unit is None or not number.isascii() or not number.isdigit() or len(number) > LONGEST_SPAN:
        raise argparse.ArgumentTypeError(f"a length of time was expected (90s, 15m, 2h, 3d), not {text!r}")
    return min(timedelta(**{unit: int(number)}), timedelta(days=10_000))


def _configured(options: argparse.Namespace) -> tuple[Config, ClusterConfig]:
    from director_tui.config import ad_hoc_cluster, parse_words, read_config

    config = read_config(options.config)
    _check_theme(options.theme, config)
    if options.directors:
        if options.cluster is not None:
            raise UsageError("-c and -d exclude each other", "a ring is either configured or named by its directors")
        cluster = ad_hoc_cluster(options.directors, options.doveadm)
    else:
        cluster = config.cluster(options.cluster)
        if options.doveadm is not None:
            doveadm, doveconf = parse_words(options.doveadm, "--doveadm")
            directors = tuple(replace(one, doveadm=doveadm, doveconf=doveconf) for one in cluster.directors)
            cluster = replace(cluster, directors=directors)
    return config, _for_this_run(cluster, options)


def _for_this_run(cluster: ClusterConfig, options: argparse.Namespace) -> ClusterConfig:
    """The cluster with what the options say for all of them."""
    if options.interval is not None:
        cluster = replace(cluster, interval_s=options.interval)
    if options.read_only:
        cluster = replace(cluster, read_only=True)
    return cluster


def _check_theme(named: str | None, config: Config | None = None) -> None:
    """A wrong name is told before anything is reached, by the commands without a screen, too."""
    from director_tui.theme_files import theme_names

    known = theme_names()
    if named is not None and named not in known:
        raise UsageError(f"--theme: there is no theme {named}", f"there are: {', '.join(known)}")
    if config is not None and config.theme is not None and config.theme not in known:
        where = f"{config.path}: theme"
        raise ConfigError(f"{where}: there is no theme “{config.theme}”", f"there are: {', '.join(known)}")


async def _open(cluster: ClusterConfig, ask: Ask | None) -> Ring:
    from director_tui.link.opening import open_ring

    try:
        return await open_ring(cluster, ask)
    finally:
        _look_for_garbage()


def _look_for_garbage() -> None:
    """From now on. What was imported stays, and is not looked at again."""
    gc.freeze()
    gc.enable()


def _once(cluster: ClusterConfig, use: Callable[[Ring], Awaitable[int]]) -> int:
    """Open the ring, use it once, close it."""

    async def run() -> int:
        ring = await _open(cluster, ask if somebody_is_there() else None)
        try:
            return await use(ring)
        finally:
            await ring.close()

    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(run())


def _loop() -> asyncio.AbstractEventLoop:
    """One that can wait for a terminal's input: what asyncio prefers on macOS (kqueue) refuses /dev/tty."""
    from director_tui.link.event_loop import EventLoop

    return EventLoop(selectors.SelectSelector())


def _status(options: argparse.Namespace) -> int:
    from director_tui.oneshot import status

    _, cluster = _configured(options)
    return _once(cluster, lambda ring: status(ring, as_json=options.json))


def _lookup(options: argparse.Namespace) -> int:
    from director_tui.oneshot import lookup

    _, cluster = _configured(options)
    return _once(cluster, lambda ring: lookup(ring, options.user, options.tag, as_json=options.json))


def _predict(options: argparse.Namespace) -> int:
    from director_tui.oneshot import predict
    from director_tui.operations.plan import Request, Target, Verb

    if (
        (options.vhosts is None)
        if options.action == "update"
        else (options.vhosts is not None and options.action != "add")
    ):
        needs = "needs the vhost count behind the IP" if options.vhosts is None else "takes no vhost count"
        raise UsageError(f"predict {options.action} {needs}", "director-tui predict --help shows what there is")
    if options.tag and options.action != "add":
        raise UsageError(f"predict {options.action} takes no --tag", "a backend has its tag from when it was added")
    whole = options.action == "flush" and options.ip == "all"
    verb = Verb.FLUSH_ALL if whole else Verb(options.action)
    request = Request(verb, () if whole else (Target(options.ip, options.vhosts),), tag=options.tag)
    _, cluster = _configured(options)
    return _once(cluster, lambda ring: predict(ring, request, exact=options.exact, as_json=options.json))


def _check(options: argparse.Namespace) -> int:
    from director_tui.oneshot import check

    _, cluster = _configured(options)
    here = [*_unrecorded(cluster), *_themes_left_out()]
    return _once(cluster, lambda ring: check(ring, here))


def _unrecorded(cluster: ClusterConfig) -> list[Finding]:
    """Whether changes can be written down, without which none is made."""
    from director_tui.link.checkup import Finding, Verdict
    from director_tui.operations.journal import Journal

    if cluster.read_only:
        return []
    try:
        Journal(cluster.name).append()
    except StateError as error:
        return [
            Finding(Verdict.WARN, "here", f"changes can't be recorded, so none will be made: {error}", error.remedy)
        ]
    return []


def _themes_left_out() -> list[Finding]:
    """What is wrong with a person's own themes. Only where there are any what draws is loaded to read them."""
    from director_tui.link.checkup import Finding, Verdict
    from director_tui.theme_files import user_files

    files, faults = user_files()
    if files:
        from director_tui.ui.themes import read_themes

        faults = list(read_themes().faults)
    return [Finding(Verdict.WARN, "themes", str(fault), fault.remedy) for fault in faults]


def _journal(options: argparse.Namespace) -> int:
    from director_tui.oneshot import journal

    _, cluster = _configured(options)
    since = datetime.now(UTC) - options.since if options.since is not None else None
    return journal(cluster.name, since, form=options.form)


def _dashboard(options: argparse.Namespace) -> int:
    config, cluster = _configured(options)
    others = {} if options.directors else config.clusters
    clusters = [cluster if one.name == cluster.name else _for_this_run(one, options) for one in others.values()]
    return _show(cluster, _open, options.theme, config.theme, clusters)


def _demo(options: argparse.Namespace) -> int:
    from director_tui.config import DEFAULT_INTERVAL_S, BackendAccess, ClusterConfig, DirectorConfig

    elsewhere = {
        "-c": options.cluster,
        "--config": options.config,
        "--doveadm": options.doveadm,
        "-d": options.directors,
    }
    if given := [name for name, value in elsewhere.items() if value not in (None, [])]:
        raise UsageError("demo has a ring of its own", f"leave out {' and '.join(given)}")
    _check_theme(options.theme)
    from director_tui.demo.configuration import BACKEND_DESTINATION, backend_names
    from director_tui.demo.ring import PracticeRing

    cluster = ClusterConfig(
        "practice",
        (DirectorConfig("demo"),),
        options.interval or DEFAULT_INTERVAL_S,
        environment="DEMO",
        read_only=options.read_only,
        backends=BackendAccess(BACKEND_DESTINATION),
        names=backend_names(options.backends),
    )

    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        from director_tui.link.opening import import_ssh
        from director_tui.link.ring import Ring

        ssh = await asyncio.to_thread(import_ssh)
        from director_tui.demo.server import serve

        ring = PracticeRing(
            backends=options.backends,
            users=options.users,
            seed=options.seed,
            start=datetime.now(UTC),
            scenario=options.scenario,
        )
        server = await serve(ring, speed=options.speed)
        directors = tuple(DirectorConfig(destination) for destination in server.destinations)
        opened = ssh(known_hosts=server.known_hosts, identity=server.identity, ssh_config=server.ssh_config, ask=ask)
        _look_for_garbage()
        return Ring(replace(cluster, directors=directors), opened, closing=server.close)

    return _show(cluster, open_ring, options.theme)


def _show(
    cluster: ClusterConfig,
    open_ring: OpenRing,
    theme: str | None,
    usual_theme: str | None = None,
    clusters: Sequence[ClusterConfig] = (),
) -> int:
    # Textual draws on standard error.
    terminals = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if not terminals or os.environ.get("TERM", "dumb") in {"", "dumb"}:
        raise UsageError(
            "the dashboard needs a terminal that can place the cursor",
            "director-tui status prints the ring once, and works in a pipe",
        )
    from director_tui.link.event_loop import EventLoop
    from director_tui.ui.app import DirectorApp

    app = DirectorApp(cluster, open_ring, clusters=clusters, theme=theme, usual_theme=usual_theme)
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(app.run_async())
    return app.return_code or FINE
