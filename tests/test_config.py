"""config.toml: every key, every default, and errors that name file, table and key."""

from __future__ import annotations

import concurrent.futures
import errno
import json
import os
from pathlib import Path
from typing import BinaryIO, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from director_tui.config import (
    BackendAccess,
    ClusterConfig,
    Config,
    Destination,
    DirectorConfig,
    ad_hoc_cluster,
    config_path,
    parse_config,
    parse_destination,
    read_config,
)
from director_tui.errors import ConfigError

FILE = Path("/etc/config.toml")

EVERYTHING = """\
default_cluster = "mail-eu"
theme = "harbour"

[clusters.mail-eu]
directors = ["ops@dir1.example.com",
             {ssh = "ops@dir2.example.com:2222", doveadm = "sudo -n doveadm -c '/etc/my dovecot/dovecot.conf'"},
             {ssh = "dir3", doveadm = "/opt/bin/doveadm", doveconf = "doveconf3"}]
doveadm = "sudo -n doveadm"
doveconf = "sudo -n /usr/bin/doveconf"
interval = 5
environment = "production"
read_only = true
redact_users = true
known_hosts = "~/.ssh/ring_hosts"
monitor = "dovemon"
capacity = 40000
records = "/srv/records"

[clusters.mail-eu.backends]
ssh = "ops@{ip}"
via_director = false
doveadm = "sudo -n doveadm"
metacache = "yes"

[clusters.mail-eu.names]
"10.1.0.1" = "mail-01"
"2001:DB8::0:1" = "mail-02"

[clusters.lab]
directors = ["lab"]
"""


def parse(text: str) -> Config:
    return parse_config(text.encode(), FILE)


def only(text: str) -> ClusterConfig:
    return parse(f'[clusters.one]\ndirectors = ["d1"]\n{text}').clusters["one"]


def error(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.exit_status == 2
    return caught.value


def test_every_key_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    config = parse(EVERYTHING)
    assert (config.path, config.default_cluster, config.theme) == (FILE, "mail-eu", "harbour")
    assert list(config.clusters) == ["mail-eu", "lab"]
    sudo = ("sudo", "-n")
    assert config.clusters["mail-eu"] == ClusterConfig(
        name="mail-eu",
        directors=(
            DirectorConfig("ops@dir1.example.com", (*sudo, "doveadm"), (*sudo, "/usr/bin/doveconf")),
            DirectorConfig(
                "ops@dir2.example.com:2222",
                (*sudo, "doveadm", "-c", "/etc/my dovecot/dovecot.conf"),
                (*sudo, "doveconf", "-c", "/etc/my dovecot/dovecot.conf"),
            ),
            DirectorConfig("dir3", ("/opt/bin/doveadm",), ("doveconf3",)),
        ),
        interval_s=5.0,
        environment="production",
        read_only=True,
        known_hosts=Path("/home/ops/.ssh/ring_hosts"),
        monitor="dovemon",
        capacity=40000,
        records="/srv/records",
        redact_users=True,
        backends=BackendAccess("ops@{ip}", via_director=False, doveadm=(*sudo, "doveadm"), metacache="yes"),
        names={"10.1.0.1": "mail-01", "2001:db8::1": "mail-02"},
    )


def test_everything_but_the_directors_has_a_default() -> None:
    assert only("") == ClusterConfig(
        name="one",
        directors=(DirectorConfig("d1", ("doveadm",), ("doveconf",)),),
        interval_s=2.0,
        environment="",
        read_only=False,
        known_hosts=None,
        monitor="none",
        capacity=None,
        records="~/.director-tui",
        redact_users=False,
        backends=None,
        names={},
    )
    assert only('backends = {ssh = "{ip}"}').backends == BackendAccess("{ip}", True, ("doveadm",), "auto")
    assert only('backends = {metacache = "no"}').backends == BackendAccess("", True, ("doveadm",), "no")
    empty = parse("")
    assert (empty.clusters, empty.default_cluster, empty.theme) == ({}, None, None)


@pytest.mark.parametrize(
    ("doveadm", "doveconf"),
    [
        ("doveadm", ("doveconf",)),
        ("sudo -n doveadm", ("sudo", "-n", "doveconf")),
        ("/opt/dovecot/bin/doveadm -c /etc/x.conf", ("/opt/dovecot/bin/doveconf", "-c", "/etc/x.conf")),
        ("'my tools/doveadm' -i two", ("my tools/doveconf", "-i", "two")),
    ],
)
def test_doveconf_follows_from_doveadm(doveadm: str, doveconf: tuple[str, ...]) -> None:
    assert only(f'doveadm = "{doveadm}"').directors[0].doveconf == doveconf
    assert ad_hoc_cluster(["d1"], doveadm).directors[0].doveconf == doveconf


@pytest.mark.parametrize("wrapper", ["/usr/local/bin/dadm", "sudo -n doveadm-2.3", "ssh-wrap doveadm.sh"])
def test_a_wrapper_of_another_name_is_never_called_for_doveconf(wrapper: str) -> None:
    caught = error(f'[clusters.x]\ndirectors = ["a"]\ndoveadm = "{wrapper}"')
    assert str(caught).startswith(f"{FILE}: [clusters.x] doveadm: none of the words in “{wrapper}” is doveadm")
    assert "doveconf" in caught.remedy
    one = f'{{ssh = "b", doveadm = "{wrapper}"}}'
    caught = error(f'[clusters.x]\ndirectors = ["a", {one}]\ndoveconf = "sudo doveconf"')
    assert str(caught).startswith(f"{FILE}: [clusters.x.directors 2] doveadm: none of the words in “{wrapper}”")
    assert only(f'doveadm = "{wrapper}"\ndoveconf = "dconf"').directors[0].doveconf == ("dconf",)
    one = f'{{ssh = "b", doveadm = "{wrapper}", doveconf = "dconf"}}'
    assert parse(f"[clusters.x]\ndirectors = [{one}]").cluster().directors[0].doveconf == ("dconf",)
    # The command line has no option for doveconf, so that is called as it is by default.
    assert ad_hoc_cluster(["d1"], wrapper).directors[0].doveadm == tuple(wrapper.split())
    assert ad_hoc_cluster(["d1"], wrapper).directors[0].doveconf == ("doveconf",)


def test_words_for_doveadm_are_one_line_for_a_shell() -> None:
    for text in ("sudo 'a\nb'", "a\0b", "a\x1b[mb"):
        with pytest.raises(ConfigError, match=r"^--doveadm: has a control character in it"):
            ad_hoc_cluster(["dir1"], text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dir1", Destination("dir1")),
        ("ops@dir1.example.com", Destination("dir1.example.com", "ops")),
        ("ops@dir1:2222", Destination("dir1", "ops", 2222)),
        ("ops@realm@dir1", Destination("dir1", "ops@realm")),
        ("[2001:db8::1]:22", Destination("2001:db8::1", None, 22)),
        ("[2001:db8::1]", Destination("2001:db8::1")),
        ("ops@2001:db8::1", Destination("2001:db8::1", "ops")),
        ("fe80::1%eth0", Destination("fe80::1%eth0")),
    ],
)
def test_destinations(text: str, expected: Destination) -> None:
    assert parse_destination(text) == expected
    assert only_director(text).ssh == text
    assert ad_hoc_cluster([text]).directors[0].ssh == text


NO_DESTINATIONS = [
    *("", "@h", "ops@", ":22", "h:", "h:0", "h:65536", "h:٣", "h:" + "9" * 5000, "[::1]:70000", "[h", "-v", "-l@h"),
    *("a;b", "a b", "a\nb", "h\x1b[m", "$h", "o'brien@h", "h\u202e", "h\u00a0", "{ip}", "-oProxyCommand=x", "root@-oX"),
    *("#dir1", "d*", "d?r", "~root", "~root@dir1", "a^b", "!dir1"),  # to a shell, in a ProxyCommand
]


@pytest.mark.parametrize("text", NO_DESTINATIONS, ids=ascii)
def test_what_is_no_destination_is_found_when_it_is_read(text: str) -> None:
    with pytest.raises(ConfigError, match="is no SSH destination") as caught:
        parse_destination(text)
    assert str(caught.value).isprintable()
    assert caught.value.remedy
    with pytest.raises(ConfigError, match=r"^-d: .* is no SSH destination"):
        ad_hoc_cluster(["dir1", text])
    if text.isprintable() and text:
        with pytest.raises(ConfigError) as caught:
            only_director(text)
        assert str(caught.value).startswith(f"{FILE}: [clusters.x.directors 1] ssh: “")


def only_director(ssh: str) -> DirectorConfig:
    return parse(f"[clusters.x]\ndirectors = [{json.dumps(ssh)}]").cluster().directors[0]


@pytest.mark.parametrize("ssh", ["{ip}", "ops@{ip}", "ops@{ip}:2222", "[{ip}]:2222", "mail-{ip}.example.com"])
def test_how_backends_are_reached(ssh: str) -> None:
    access = only(f'backends = {{ssh = "{ssh}"}}').backends
    assert access is not None
    assert access.ssh == ssh


def test_a_choice_of_words_for_one_director_does_not_take_the_others_doveconf() -> None:
    cluster = parse(
        '[clusters.x]\ndirectors = [{ssh = "a", doveadm = "/opt/doveadm"}, {ssh = "b", doveconf = "c"}, "d"]\n'
        'doveconf = "general"'
    ).cluster()
    assert [each.doveconf for each in cluster.directors] == [("/opt/doveconf",), ("c",), ("general",)]


BAD = [
    ("them = 1", "{file}: them: unknown key", "do you mean theme?"),
    ("xyzzy = 1", "{file}: xyzzy: unknown key", "known here: default_cluster, theme, clusters"),
    ("theme = 1", "{file}: theme: a text in quotes was expected, not “1”", ""),
    ('theme = ""', "{file}: theme: a text in quotes was expected, not “”", ""),
    ('theme = "a\\u001b[31m"', "{file}: theme: has a control character in it", ""),
    ('default_cluster = "nope"', "{file}: default_cluster = “nope”: there is no such cluster", "it has: none"),
    ("clusters = 1", "{file}: clusters: a table was expected, not “1”", ""),
    ("clusters.x = 1", "{file}: clusters.x: a table was expected, not “1”", ""),
    ("theme =", "{file}: Invalid value", "TOML needs quotes around texts"),
    ("theme = harbour", "{file}: Invalid value (at line 1, column 9)", "TOML needs quotes around texts"),
    ("a = 1\na = 2", "{file}: Cannot overwrite a value", "TOML needs quotes around texts"),
    (
        '[clusters."a b"]\ndirectors = ["d1"]',
        "{file}: [clusters.a b]: a cluster's name has letters, digits, dots, dashes and underscores only",
        "",
    ),
    ('[clusters.".."]', "{file}: [clusters...]: a cluster's name has letters, digits, dots", ""),
    ("[clusters.x]", "{file}: [clusters.x] directors: a list of SSH destinations is needed", ""),
    ("[clusters.x]\ndirectors = []", "{file}: [clusters.x] directors: a list of SSH destinations is needed", ""),
    ('[clusters.x]\ndirectors = "d1"', "{file}: [clusters.x] directors: a list of SSH destinations is needed", ""),
    ("[clusters.x]\ndirectors = [1]", "{file}: clusters.x.directors 1: a table was expected, not “1”", ""),
    ("[clusters.x]\ndirectors = [{}]", "{file}: [clusters.x.directors 1] ssh: is needed", ""),
    (
        '[clusters.x]\ndirectors = ["a", {ssh = "d", dovadm = "x"}]',
        "{file}: [clusters.x.directors 2] dovadm: unknown key",
        "do you mean doveadm?",
    ),
    (
        '[clusters.x]\ndirectors = ["-oProxyCommand=evil"]',
        "{file}: [clusters.x.directors 1] ssh: “-oProxyCommand=evil” is no SSH destination",
        "write it as [USER@]HOST[:PORT]",
    ),
    ('[clusters.x]\ndirectors = ["root@-oX"]', "{file}: [clusters.x.directors 1] ssh: “root@-oX” is no SSH", ""),
    (
        '[clusters.x]\ndirectors = ["a", {ssh = "root@b:22222222"}]',
        "{file}: [clusters.x.directors 2] ssh: “root@b:22222222” is no SSH destination: “22222222” is no port number",
        "a port is a number from 1 to 65535",
    ),
    ('[clusters.x]\ndirectors = ["a;b"]', "{file}: [clusters.x.directors 1] ssh: “a;b” is no SSH destination", "write"),
    ('[clusters.x]\ndirectors = ["a b"]', "{file}: [clusters.x.directors 1] ssh: “a b” is no SSH", ""),
    ('[clusters.x]\ndirectors = ["root@"]', "{file}: [clusters.x.directors 1] ssh: “root@” is no SSH", ""),
    ('[clusters.x]\ndirectors = ["a", "b", "a"]', "{file}: [clusters.x] directors: a stands there twice", ""),
    ("[clusters.x]\ndirectors = ['a']\nintervall = 1", "[clusters.x] intervall: unknown key", "do you mean interval?"),
    ("[clusters.x]\ndirectors = ['a']\nserver = 1", "[clusters.x] server: unknown key", "known here: directors, "),
    *(
        (f"[clusters.x]\ndirectors = ['a']\n{line}", "{file}: " + what, "")
        for line, what in (
            ("interval = 0.1", "[clusters.x] interval: a number from 0.2 to 3600 was expected, not “0.1”"),
            ("interval = nan", "[clusters.x] interval: a number from 0.2 to 3600 was expected, not “nan”"),
            ("interval = true", "[clusters.x] interval: a number from 0.2 to 3600 was expected, not “True”"),
            ('interval = "2"', "[clusters.x] interval: a number from 0.2 to 3600 was expected, not “2”"),
            (f"interval = 0x{'f' * 5000}", "[clusters.x] interval: a number from 0.2 to 3600 was expected, not “…”"),
            (f"interval = {'9' * 5000}", "a number in it has too many digits"),
            ("capacity = 0", "[clusters.x] capacity: a number from 1 to"),
            ("read_only = 1", "[clusters.x] read_only: true or false was expected, not “1”"),
            ("redact_users = 'no'", "[clusters.x] redact_users: true or false was expected, not “no”"),
            ('monitor = "pollmon"', "[clusters.x] monitor: one of none, dovemon, poolmon was expected, not “pollmon”"),
            ('doveadm = ""', "[clusters.x] doveadm: a text in quotes was expected"),
            ('doveadm = " "', "[clusters.x] doveadm: is empty"),
            ('doveadm = "\'doveadm"', "[clusters.x] doveadm: “'doveadm”: no closing quotation"),
            (
                'known_hosts = "~nobody-has-this-name/x"',
                "[clusters.x] known_hosts: no user is known here by the name in “~nobo",
            ),
            ("environment = []", "[clusters.x] environment: a text in quotes was expected, not “[]”"),
            ("backends = {}", "[clusters.x.backends] ssh: is needed, with {{ip}} where the backend's IP goes"),
            ('backends = {metacache = "yes"}', "[clusters.x.backends] ssh: is needed, with {{ip}}"),
            ('backends = {ssh = "ops@mail", metacache = "no"}', "[clusters.x.backends] ssh: is needed, with {{ip}}"),
            ('backends = {ssh = "ops@mail"}', "[clusters.x.backends] ssh: is needed, with {{ip}}"),
            ('backends = {ssh = "-{ip}"}', "[clusters.x.backends] ssh: “-{{ip}}” is no SSH destination"),
            (
                'backends = {ssh = "ops@{ip}:ssh"}',
                "[clusters.x.backends] ssh: “ops@{{ip}}:ssh” is no SSH destination: “ssh” is no port number",
            ),
            ('backends = {ssh = "a;b@{ip}"}', "[clusters.x.backends] ssh: “a;b@{{ip}}” is no SSH destination"),
            ('backends = {ssh = "[{ip}"}', "[clusters.x.backends] ssh: “[{{ip}}” is no SSH destination"),
            (
                'backends = {ssh = "{ip}", metacache = "on"}',
                "[clusters.x.backends] metacache: one of auto, yes, no was",
            ),
            ("backends = 1", "clusters.x.backends: a table was expected, not “1”"),
            ("names = {mail = 'x'}", "[clusters.x.names] mail: is no IP address"),
            ("names = {'10.0.0.1' = 1}", "[clusters.x.names] 10.0.0.1: a text in quotes was expected, not “1”"),
        )
    ),
]


@pytest.mark.parametrize(("text", "what", "remedy"), BAD, ids=[text[-40:] for text, _, _ in BAD])
def test_what_is_wrong_is_named(text: str, what: str, remedy: str) -> None:
    caught = error(text)
    assert what.format(file=FILE) in str(caught)
    assert str(caught).startswith(f"{FILE}: ")
    assert remedy in caught.remedy


def test_text_from_the_file_is_cleaned_and_short_in_errors() -> None:
    caught = error('"\\u001b[2J" = 1')
    assert str(caught) == f"{FILE}: \N{REPLACEMENT CHARACTER}[2J: unknown key"
    assert len(str(error(f"theme = [{'1, ' * 10_000}]"))) < 200


def test_a_file_in_another_encoding_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match="line 2 is not UTF-8"):
        parse_config(b'theme = "x"\n# Stra\xdfe\n', FILE)


def test_the_cluster_is_the_named_one_the_default_or_the_only_one() -> None:
    config = parse(EVERYTHING)
    assert config.cluster().name == "mail-eu"
    assert config.cluster("lab").name == "lab"
    assert parse('[clusters.lab]\ndirectors = ["d1"]').cluster().name == "lab"
    for wanted in ("nope", "", "\x1b[2J"):
        with pytest.raises(ConfigError) as caught:
            config.cluster(wanted)
        assert f"{FILE} has no cluster “" in str(caught.value)
        assert str(caught.value).isprintable()
        assert caught.value.remedy == "it has: lab, mail-eu"
    two = parse('[clusters.a]\ndirectors = ["d1"]\n[clusters.b]\ndirectors = ["d2"]')
    with pytest.raises(ConfigError, match="several clusters and no default_cluster") as caught:
        two.cluster()
    assert caught.value.remedy == "choose one with -c: a, b"
    with pytest.raises(ConfigError, match=r"no cluster is configured in /etc/config\.toml") as caught:
        parse("").cluster("a")
    assert "director-tui demo" in caught.value.remedy


def test_a_ring_without_configuration_is_named_after_its_first_host() -> None:
    cluster = ad_hoc_cluster(["ops@dir1.example.com:2222", "dir2"], "sudo -n doveadm", interval_s=7.0)
    assert cluster.name == "dir1.example.com-2222"
    assert [each.ssh for each in cluster.directors] == ["ops@dir1.example.com:2222", "dir2"]
    assert {each.doveadm for each in cluster.directors} == {("sudo", "-n", "doveadm")}
    assert cluster.interval_s == 7.0
    assert ad_hoc_cluster(["root@[::1]"]).name == "1"
    with pytest.raises(ConfigError, match=r"^--doveadm: is empty"):
        ad_hoc_cluster(["dir1"], "")


def test_a_director_that_is_named_twice_is_one() -> None:
    assert [each.ssh for each in ad_hoc_cluster(["dir2", "dir1", "dir2"]).directors] == ["dir2", "dir1"]


def test_an_account_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert read_config().clusters == {}
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg")
    assert config_path() == Path("/etc/xdg/director-tui/config.toml")


def test_where_the_file_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path() == tmp_path / "director-tui" / "config.toml"
    assert read_config() == Config(tmp_path / "director-tui" / "config.toml")  # it may be missing there
    (tmp_path / "director-tui").mkdir()
    (tmp_path / "director-tui" / "config.toml").write_text('theme = "x"')
    assert read_config().theme == "x"
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", "/home/ops")
    assert config_path() == Path("/home/ops/.config/director-tui/config.toml")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: there is no such file"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"can't be read: Is a directory"):
        read_config(tmp_path)
    looping = tmp_path / "loop.toml"
    looping.symlink_to(looping)
    with pytest.raises(ConfigError, match=r"loop\.toml: can't be read"):
        read_config(looping)


def test_a_file_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> BinaryIO:  # root may read everything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"secret\.toml: can't be read: Permission denied") as caught:
        read_config(Path("secret.toml"))
    assert caught.value.remedy == "check its owner and mode"


@pytest.mark.parametrize("file", ["/dev/zero", "/dev/urandom"])
def test_what_never_ends_is_no_configuration(file: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{file}: larger than 1,048,576 bytes$"):
        read_config(Path(file))


def test_a_pipe_can_be_a_configuration(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with concurrent.futures.ThreadPoolExecutor() as thread:
        thread.submit(pipe.write_bytes, b"[clusters.x]\ndirectors = ['d1']")
        assert list(read_config(pipe).clusters) == ["x"]


def config_or_error(text: bytes) -> None:
    try:
        result: Config | ConfigError = parse_config(text, FILE)
    except ConfigError as caught:
        result = caught
    if isinstance(result, ConfigError):
        assert str(result).startswith(str(FILE))
        assert (str(result) + result.remedy).isprintable()


@given(st.binary(max_size=200))
@example(b"a = 0x" + b"f" * 5000)
@example(b"theme" + b".a" * 3000 + b" = 1")
@example(b"a = " + b"[" * 5000)
def test_any_bytes_make_a_configuration_or_an_error(text: bytes) -> None:
    config_or_error(text)


WORDS = [line for line in EVERYTHING.splitlines() if line] + [
    *("[clusters.x]", "directors = ['a']", "directors", "names", "backends", "theme", " = ", ".", "[", "]", "{", "}"),
    *('"', "'", "\n", ",", "1", "-1", "nan", "true", "1979-05-27", "''", "#", "\\u0000", "\x1b", "\N{SNOWMAN}", "ä"),
]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=30), st.sampled_from(["", " ", "\n"]))
def test_any_words_of_a_configuration_make_one_or_an_error(words: list[str], between: str) -> None:
    config_or_error(between.join(words).encode("utf-8", "surrogatepass"))


VALUES = st.recursive(
    st.sampled_from(["1", "1.5", "nan", "true", '"d1"', '""', '"~"', '"a b"', "1979-05-27", '"10.1.0.1"', '"{ip}"']),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]")
        | st.dictionaries(st.sampled_from(["ssh", "doveadm", "via_director", '"::1"']), inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        )
    ),
    max_leaves=5,
)
KEYS = [
    *("directors", "doveadm", "doveconf", "interval", "environment", "read_only", "known_hosts", "monitor"),
    *("capacity", "records", "redact_users", "backends", "names"),
]


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5))
def test_any_value_of_any_key_makes_a_configuration_or_an_error(values: dict[str, str]) -> None:
    lines = [f"{key} = {value}" for key, value in ({"directors": '["d1"]'} | values).items()]
    config_or_error("\n".join(["[clusters.x]", *lines]).encode())
