"""The journal in words: nothing that outside text has in it is markup, a link, or the end of a code block."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from director_tui.director.changes import Change, Subject
from director_tui.errors import StateError
from director_tui.operations.journal import Entry, Extract, Journal, entries
from director_tui.operations.plan import Outcome
from director_tui.operations.record import Event, Record, observed
from director_tui.operations.report import caveats, differences, export, markdown, outcome, plain, summary
from director_tui.state import state_folder

if TYPE_CHECKING:
    from pathlib import Path

    from markdown_it.token import Token

    from director_tui.operations.record import Values

NOW = datetime(2026, 11, 24, 21, 40, 12, tzinfo=UTC)
VIA = "root@dir1.example.com"
GITHUB = MarkdownIt("gfm-like")


def seconds(number: int) -> datetime:
    return NOW + timedelta(seconds=number)


def update(ip: str) -> tuple[str, ...]:
    return ("env", "TZ=UTC", "LC_ALL=C", "doveadm", "director", "update", ip, "0")


def incident() -> list[Record]:
    """Two backends set to 0, of which one refused; meanwhile another went down by itself."""
    ips = ("10.1.0.3", "10.1.0.4")
    before: Values = {ip: {"tag": "", "vhosts": 100, "state": "up", "users": 9120} for ip in ips}
    after: Values = {"10.1.0.3": {**before["10.1.0.3"], "vhosts": 0}}
    same = Record(NOW, Event.PLANNED, "20261124-214012-3fa9c1", who="ops from 192.0.2.7", via=VIA)
    intent = replace(same, time=seconds(1), event=Event.INTENT, step=1, targets=ips, argv=tuple(map(update, ips)))
    result = replace(
        intent, time=seconds(2), event=Event.RESULT, targets=ips[:1], argv=(update(ips[0]),), exit_status=0
    )
    return [
        replace(
            same,
            verb="update",
            title="Set vhost count of 10.1.0.3, 10.1.0.4 to 0",
            targets=ips,
            argv=intent.argv,
            reason="the disk `sda` is <b>dying</b>",
        ),
        intent,
        observed(Change(seconds(1), Subject.STATE, "10.1.0.9", "up", "down"), VIA),
        replace(result, outcome=Outcome.APPLIED, before={ips[0]: before[ips[0]]}, after=after),
        replace(
            result,
            time=seconds(3),
            step=2,
            targets=ips[1:],
            argv=(update(ips[1]),),
            exit_status=75,
            stderr="Error: Ring sync timed out\n```\n# not a heading",
            outcome=Outcome.NOT_APPLIED,
            before={ips[1]: before[ips[1]]},
            after={ips[1]: before[ips[1]]},
        ),
        replace(same, time=seconds(4), event=Event.NOTE, reason="seen on 2 of 3 directors"),
    ]


def test_as_text() -> None:
    assert (
        plain(incident())
        == """\
2026-11-24 21:40:12 UTC  Set vhost count of 10.1.0.3, 10.1.0.4 to 0: 1 applied, 1 not applied
    by ops from 192.0.2.7, via root@dir1.example.com
    reason: the disk `sda` is <b>dying</b>
    10.1.0.3: applied, vhosts 100 → 0
    10.1.0.4: not applied, exit status 75
        Error: Ring sync timed out
        ```
        # not a heading
    2026-11-24 21:40:16 UTC  seen on 2 of 3 directors
2026-11-24 21:40:13 UTC  outside this program: 10.1.0.9: state up → down
"""
    )
    assert plain([]) == ""


def test_as_markdown() -> None:
    report = markdown(incident(), "mail-eu", ["1 line of the file left out"])
    assert report.startswith(
        "# Incident report: `mail-eu`\n\nFrom 2026-11-24 21:40:12 UTC to 2026-11-24 21:40:16 UTC, "
    )
    assert (
        report.partition("\n\n")[2].partition("\n\n")[2]
        == """\
Note: `1 line of the file left out`

## 2026-11-24 21:40:12 UTC: `Set vhost count of 10.1.0.3, 10.1.0.4 to 0`

- outcome: **1 applied, 1 not applied**
- who: `ops from 192.0.2.7`
- via: `root@dir1.example.com`
- reason: ``the disk `sda` is <b>dying</b>``
- ended: 2026-11-24 21:40:16 UTC
- operation: `20261124-214012-3fa9c1`

Commands that were sent:

```sh
env TZ=UTC LC_ALL=C doveadm director update 10.1.0.3 0
env TZ=UTC LC_ALL=C doveadm director update 10.1.0.4 0
```

Outcome of each:

- `10.1.0.3: applied, vhosts 100 → 0`
- `10.1.0.4: not applied, exit status 75`

Step 2, standard error:

````text
Error: Ring sync timed out
```
# not a heading
````

Meanwhile:

- 2026-11-24 21:40:16 UTC: `seen on 2 of 3 directors`

## Seen to change

- 2026-11-24 21:40:13 UTC: `10.1.0.9: state up → down`, outside this program
"""
    )


def test_without_records() -> None:
    assert markdown([], "mail-eu") == (
        "# Incident report: `mail-eu`\n\nNothing was changed, and nothing was seen to change.\n"
    )


def test_what_was_planned_and_not_sent() -> None:
    planned, *_ = incident()
    note = replace(planned, event=Event.NOTE, reason="changed since: 10.1.0.3 vhosts: 100 → 0")
    assert "to 0: nothing was sent\n" in plain([planned, note])
    assert "changed since: 10.1.0.3 vhosts: 100 → 0\n" in plain([planned, note])
    report = markdown([planned, note], "mail-eu")
    assert "**nothing was sent**" in report
    assert "Commands that were planned, and not sent:\n\n```sh\nenv TZ=UTC" in report


def test_an_end_that_was_not_seen() -> None:
    planned, intent, *_ = incident()
    assert outcome(Entry((planned, intent))) == "unknown"
    assert "    10.1.0.3: unknown\n    10.1.0.4: unknown\n" in plain([planned, intent])


HOSTILE = [
    "```",
    "````\n# heading\n````",
    "`",
    "`` ` ``",
    "<script>alert(1)</script>",
    "![x](https://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "https://evil.example www.evil.example evil@evil.example",
    "@everyone #1 | a | b |",
    "\n\n# heading\n\n---\n",
    "</code></pre>",
    "\\`",
    " ` ",
    "&lt;b&gt; &#96;",
    "\x1b]0;owned\x07\u202e",
    "~~~",
    "    indented",
    "\t",
]
TEXTS = st.sampled_from(HOSTILE) | st.lists(st.sampled_from(HOSTILE), max_size=3).map("".join) | st.text("`\\ \n~<#-x")
ROWS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=2)
RECORDS = st.builds(
    Record,
    st.just(NOW),
    st.sampled_from(Event),
    st.none() | TEXTS.filter(bool),
    st.none() | st.integers(1, 3),
    *(TEXTS, TEXTS, st.lists(TEXTS, max_size=2).map(tuple), TEXTS, TEXTS),
    st.lists(st.lists(TEXTS, min_size=1, max_size=3).map(tuple), max_size=2).map(tuple),
    st.none() | st.integers(0, 75),
    *(TEXTS, TEXTS, st.none() | st.sampled_from(Outcome), ROWS, ROWS, TEXTS),
)

OURS = {"heading", "paragraph", "bullet_list", "list_item"}


def outside_of_code(tokens: list[Token]) -> str:
    """The text that is no code; fails where there is markup that no report has."""
    text = ""
    for token in tokens:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        assert kind in {*OURS, "fence", "inline", "text", "code_inline", "strong", "softbreak"}, token
        if kind == "text":
            text += token.content
        text += outside_of_code(token.children or [])
    return text


def assert_harmless(report: str, operations: int) -> None:
    tokens = GITHUB.parse(report)
    text = outside_of_code(tokens)
    assert not set("`<>[]|\\~@") & set(text), text
    for word in ("evil", "heading", "alert", "everyone", "owned", "indented", "lt;"):
        assert word not in text
    headings = [token for token in tokens if token.type == "heading_open"]
    assert [token.tag for token in headings[:1]] == ["h1"]
    assert sum(token.tag == "h2" for token in headings) >= operations
    assert all(token.level == 0 for token in tokens if token.type in {"fence", "heading_open"})
    assert all(line.isprintable() for line in report.split("\n"))


@given(st.lists(RECORDS, max_size=4), TEXTS)
def test_nothing_but_our_own_words_is_outside_of_code(records: list[Record], cluster: str) -> None:
    operations = sum(entry.operation is not None for entry in entries(records))
    assert_harmless(markdown(records, cluster, [cluster]), operations)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_at_every_place(text: str) -> None:
    planned = Record(NOW, Event.PLANNED, "op-1", 1, text, text, (text,), text, text, ((text, text),), reason=text)
    result = replace(
        planned,
        event=Event.RESULT,
        stdout=text,
        stderr=text,
        before={text: {text: "1"}},
        after={text: {text: text}},
    )
    note = replace(result, event=Event.NOTE)
    seen = replace(result, event=Event.OBSERVED, operation=None)
    assert_harmless(markdown([planned, result, note, seen], text, [text]), 1)


@given(st.lists(RECORDS, max_size=4))
def test_text_for_a_terminal(records: list[Record]) -> None:
    Journal("mail-eu").path.unlink(missing_ok=True)
    Journal("mail-eu").append(*records)
    text = plain(Journal("mail-eu").read().records)
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_code_block_has_the_output_as_it_is() -> None:
    _, intent, *_ = incident()
    output = "````\n```sh\n<b>\n\\ `"
    tokens = GITHUB.parse(markdown([replace(intent, event=Event.RESULT, stdout=output)], "mail-eu"))
    assert f"{output}\n" in [token.content for token in tokens if token.type == "fence"]


def test_a_command_has_a_line() -> None:
    _, intent, *_ = incident()
    report = markdown([replace(intent, argv=(("doveadm", "a\nb", "it's"),))], "mail-eu")
    assert "\ndoveadm 'a\N{REPLACEMENT CHARACTER}b' 'it'\"'\"'s'\n" in report


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"a": {"vhosts": 100}}, {"a": {"vhosts": 0}}, (("a", "vhosts 100 → 0"),)),
        ({"a": {"vhosts": 100, "state": "up"}}, {"a": {"vhosts": 100, "state": "up"}}, ()),
        ({"a": {}}, {"a": {"backend": "added with vhost count 100"}}, (("a", "backend added with vhost count 100"),)),
        ({"a": {"tag": ""}}, {"a": {"tag": "gold"}}, (("a", "tag '' → gold"),)),
        (
            {"a": {"vhosts": 100, "users": 12345}},
            {"b": {"vhosts": 1}},
            (("a", "vhosts 100 → –, users 12,345 → –"), ("b", "vhosts 1")),
        ),
    ],
)
def test_what_is_different(
    before: dict[str, dict[str, str | int]], after: dict[str, dict[str, str | int]], said: tuple[tuple[str, str], ...]
) -> None:
    assert differences(before, after) == said


def test_what_an_entry_is_called() -> None:
    planned, *_ = incident()
    assert summary(Entry((planned,))) == "Set vhost count of 10.1.0.3, 10.1.0.4 to 0"
    assert summary(Entry((Record(NOW, Event.NOTE, reason="quit while it ran"),))) == "quit while it ran"
    assert summary(Entry((Record(NOW, Event.NOTE),))) == "note"


def test_what_is_said_of_a_reading() -> None:
    records = tuple(incident())
    file = state_folder("mail-eu") / "journal.jsonl"
    assert caveats(Extract(records), "mail-eu") == ()
    assert caveats(Extract(records, not_understood=1, cut=True), "mail-eu") == (
        f"only the newest 6 records are here, from 2026-11-24 21:40:12 UTC on; all are in {file}",
        f"1 line of {file} left out: torn, or written by a newer version",
    )
    assert caveats(Extract((), not_understood=1200), "mail-eu")[0].startswith("1,200 lines of ")


def test_a_report_goes_into_the_state_folder(tmp_path: Path) -> None:
    report = markdown(incident(), "mail-eu")
    file = export(report, "mail-eu", NOW)
    assert file == tmp_path / "own-state" / "director-tui" / "mail-eu" / "incident-20261124-214012.md"
    assert file.read_text() == report
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    file.mkdir()
    with pytest.raises(StateError, match=r"incident-20261124-214012\.md can't be written"):
        export(report, "mail-eu", NOW)
