"""Hides secrets in whatever text leaves the harness: messages, logs, the store, reports, exports, command lines.

Two things are hidden: what looks like a secret (a password in a URL, `--token X`, a private key), and what was given as
one (`learn`, `register`), wherever it stands and however it is spelled there. Hidden is only the secret, so that a
message still says what it is about. Pure but for the values that this process was given.
"""

from __future__ import annotations

import html
import json
import logging
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

#: What stands in a secret's place.
HIDDEN: Final = "***"

#: How the name of a secret ends, in an option, a variable, a parameter or a key of JSON. Only its end is looked for: a
#: search for whole words would be quadratic in the length of what has no blank.
_NAMED: Final = (
    r"(?:passw(?:or)?d|passwd|passphrase|pwd(?!\s{0,2}=\s{0,2}/)|(?:\b|_|-|ssh)pass|secret|token|api[_-]?key|"
    r"(?:access|secret|private|account|signing|encryption|license)[_-]?key|credentials?)"
)
#: The same in a sentence, where "pass: 3 of 10" speaks of no password.
_SAID: Final = _NAMED.replace(r"(?:\b|_|-|ssh)pass|", "")
#: Parameters of a URL whose names say less by themselves.
_PARAMETER: Final = rf"(?:{_NAMED}|\b(?:key|sig|signature|auth|code|x-amz-signature|x-amz-credential))"
_QUOTED: Final = r""""(?P<double>(?:\\.|[^"\\\n])*)"|'(?P<single>(?:\\.|[^'\\\n])*)'"""
#: A value without quotes around it; quotes inside belong to it.
_BARE: Final = r"""(?P<bare>[^\s&"'<>]+(?:["'](?=[^\s&"'<>])[^\s&"'<>]*)*)"""
_VALUE: Final = rf"(?:{_QUOTED}|{_BARE})"
#: No port with what may stand behind it.
_NO_PORT: Final = r"""(?!\d{1,5}(?:[/\s?#"'),;]|$))"""

_RULES: Final = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"(?P<bare>.*?)(?:(?=-----END [A-Z ]{0,30}PRIVATE KEY)|\Z)",
            re.DOTALL,
        ),
        # The part of a URL before its last @: without a blank, or with blanks and quotes that nobody encoded.
        (r"""//[^\s/:@"']{0,200}:(?P<bare>[^\s"'@]{1,300}(?:@[^\s"'@/]{1,300}){0,4})(?=@)""", 0),
        (rf"//[^\s/:@]{{0,200}}:{_NO_PORT}(?P<bare>[^\n@]{{1,300}}?)(?=@)", 0),
        (r"""https?://(?P<bare>[^\s/:@"'?#]{8,300})(?=@)""", re.IGNORECASE),
        (rf"[?&][\w.-]{{0,60}}?{_PARAMETER}=(?P<bare>[^\s&\"'<>]+)", re.IGNORECASE),
        (rf"{_PARAMETER}%3d(?P<bare>(?:[^\s&\"'<>%]|%(?!26)..)+)", re.IGNORECASE),
        # Of JSON and of what Python prints, of TOML, of a shell's variables and options.
        (rf"{_NAMED}\\?[\"']\s{{0,3}}:\s{{0,3}}(?:{_QUOTED})", re.IGNORECASE),
        (rf"{_NAMED}[\"']?\s{{0,2}}=(?!=)\s{{0,2}}{_VALUE}", re.IGNORECASE),
        (rf"(?<![\w-])--?[\w-]{{0,40}}?{_NAMED}\s+(?!-){_VALUE}", re.IGNORECASE),
        # A word behind a colon may be a sentence's, as of "a password: remove it".
        (rf"{_SAID}\s?:\s{{1,3}}(?=\S*(?:\d|(?-i:[a-z][A-Z])|[!#$%^&*+~])){_VALUE}", re.IGNORECASE),
        (rf"\bsshpass\s+(?:-\w\s+)?-p\s*{_VALUE}", 0),
        (rf"\b(?:mysql|mysqldump|mariadb|plink|pscp)\b[^\n]{{0,100}}?\s-pw?\s?{_VALUE}", 0),
        (r"(?:^|\s)(?:-u|-U|--user|--proxy-user)[\s=]+(?P<mark>[\"']?)[^\s:\"']{1,64}:"
         r"(?:(?<=:)(?P<bare>(?:(?!(?P=mark)).)+|\S+))", 0),
        (
            r"\b(?:proxy-)?(?:authorization|x-[\w-]{0,40}(?:token|key|secret|auth)|(?:set-)?cookie|private-token|job-token)"
            r"\s{0,2}:\s{0,2}(?P<bare>[^\n\"']+)",
            re.IGNORECASE,
        ),
        (r"\bbearer\s+(?P<bare>[\w.~+/=-]{8,})", re.IGNORECASE),
        (r"\bBasic\s+(?P<bare>(?=\S*[A-Z0-9=])[A-Za-z0-9+/=]{8,})", 0),
        # Forms that are secrets whatever stands around them: of AWS, GitHub, GitLab, Slack, Google and others, and JWT.
        (
            r"\b(?P<bare>(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|"
            r"xox[abprs]-[\w-]{10,}|hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|AIza[\w-]{30,}|"
            r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)",
            0,
        ),
    )
)  # fmt: skip
#: Whether any rule can find something at all: most texts are short and have nothing of this.
_HINT: Final = re.compile(
    r"pass|pwd|secret|token|key|credential|//|auth|cookie|bearer|basic|PRIVATE|AKIA|ASIA|gh[pousr]_|glpat|xox|hf_|sk-|"
    r"AIza|eyJ|sshpass|mysql|mariadb|plink|pscp|%3d|-u |--user|-user|sig|code=",
    re.IGNORECASE,
)
_IS_NAME: Final = re.compile(rf"{_NAMED}$", re.IGNORECASE)
_ASSIGNED: Final = re.compile(rf"[\w.-]*{_NAMED}=(?P<bare>.+)", re.IGNORECASE | re.DOTALL)
#: In one word of a command line a blank ends nothing.
_IN_WORD: Final = (
    re.compile(rf"//[^/:@?#]{{0,200}}:{_NO_PORT}(?P<bare>.+)(?=@)", re.DOTALL),
    re.compile(rf"[?&][\w.-]{{0,60}}?{_PARAMETER}=(?P<bare>[^&]+)", re.IGNORECASE | re.DOTALL),
)
#: A shorter value stands in too many words that are none of it.
_SHORTEST: Final = 4
#: A variable's value that is shorter is a switch rather than a secret.
_SHORTEST_VARIABLE: Final = 8
#: Keys whose values are names by which the harness finds things: a password of the same letters must not change them.
_NAMES: Final = frozenset(
    ("id", "suite", "variant", "device", "runtime", "scenario", "baseline", "metric", "run", "campaign", "sha256",
     "parent", "case", "format", "unit", "source", "split")
)  # fmt: skip

_lock = threading.Lock()
_given: set[str] = set()
_spelled: re.Pattern[str] | None = None


def redacted(text: str) -> str:
    """Return a text for people or for keeping, with every secret in it replaced by `HIDDEN`."""
    if _spelled is not None:
        text = _spelled.sub(HIDDEN, text)
    if _HINT.search(text):
        for rule in _RULES:
            text = rule.sub(_without, text)
    return text


def command(words: Sequence[str]) -> str:
    """Return a command line as it may be kept, quoted for a shell: a secret ends where its word does, blanks or not."""
    return redacted(shlex.join(_words(words)))


def cleaned(value: Any) -> Any:
    """Return plain values (mappings, lists, texts, numbers) without secrets: also what a key names as one is hidden.

    What stands under a key that names a thing of the lab, such as `device`, is left as it is.
    """
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: one if key in _NAMES else _kept(str(key), one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        if value and all(isinstance(one, str) for one in value):
            return list(_words(value))
        return [cleaned(one) for one in value]
    return value


def register(*values: str | None) -> None:
    """Hide these values from now on, wherever they stand and also percent-encoded, quoted or escaped.

    Those of fewer than four characters are passed over.
    """
    global _spelled
    with _lock:
        new = {form for value in values if value for form in _forms(value)} - _given
        if not new:
            return
        _given.update(new)
        # The longest first: what holds another one is hidden as a whole.
        _spelled = re.compile("|".join(map(re.escape, sorted(_given, key=lambda one: (-len(one), one)))))


def learn(value: Any) -> None:
    """Register every secret that a text, a command line (a list of words) or a table of plain values holds."""
    register(*_secrets(value))


def learn_environment(variables: Mapping[str, str]) -> None:
    """Register the values of variables that are named as secrets, and what is secret in the others."""
    for name, value in variables.items():
        if _IS_NAME.search(name) and not value.startswith("/"):
            register(*([value] if len(value) >= _SHORTEST_VARIABLE else []))
        elif "//" in value:
            learn(value)


def guard_logging() -> None:
    """Let no log record of this process carry a secret, also of another library."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        try:
            said = made.getMessage()
        except Exception:  # noqa: BLE001  the handler says what is wrong with it
            return made
        if (shown := redacted(said)) != said:
            made.msg, made.args = shown, ()
        return made

    record.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)


def _span(found: re.Match[str]) -> tuple[int, int]:
    return next(
        found.span(name) for name in ("double", "single", "bare") if found.re.groupindex.get(name) and found[name]
    )


def _without(found: re.Match[str]) -> str:
    try:
        first, last = _span(found)
    except StopIteration:  # an empty value
        return found[0]
    return found[0][: first - found.start()] + HIDDEN + found[0][last - found.start() :]


def _words(words: Iterable[str]) -> Iterator[str]:
    """Yield the words of a command line without secrets, as far as words by themselves show them."""
    named = False
    for word in words:
        if named and not word.startswith("-"):
            yield HIDDEN
            named = False
            continue
        named = word.startswith("-") and "=" not in word and _IS_NAME.search(word) is not None
        # By itself: a quote or a blank in it is none of the shell's yet.
        yield redacted(_each(word, _without))


def _each(word: str, change: Callable[[re.Match[str]], str]) -> str:
    if assigned := _ASSIGNED.fullmatch(word):
        return change(assigned)
    for rule in _IN_WORD:
        word = rule.sub(change, word)
    return word


def _kept(key: str, value: Any) -> Any:
    secret = isinstance(value, str) and value and _IS_NAME.search(key)
    return HIDDEN if secret else cleaned(value)


def _secrets(value: Any, key: str = "") -> Iterator[str]:
    """Yield what is secret in plain values; `key` is what they stand under."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _secrets(one, str(name))
    elif isinstance(value, list | tuple):
        named = False
        for one in value:
            if isinstance(one, str):
                if named and not one.startswith("-"):
                    yield one
                named = one.startswith("-") and "=" not in one and _IS_NAME.search(one) is not None
            yield from _secrets(one, key)
    elif isinstance(value, str):
        if key and _IS_NAME.search(key):
            yield value
        found: list[str] = []

        def note(match: re.Match[str]) -> str:
            try:
                first, last = _span(match)
            except StopIteration:
                return match[0]
            found.append(match.string[first:last])
            return _without(match)

        # Each rule sees what the ones before have left: an @ in a password is no other URL's.
        rest = _each(value, note)
        for rule in _RULES:
            rest = rule.sub(note, rest)
        yield from (one for one in found if HIDDEN not in one)


def _forms(value: str) -> Iterator[str]:
    """Yield a value as it may be spelled in a URL, a shell's word, JSON, HTML and Python."""
    for one in {value, unquote(value), unquote_plus(value)}:
        own = {
            one, quote(one), quote(one, safe=""), quote_plus(one), json.dumps(one)[1:-1],
            json.dumps(one, ensure_ascii=False)[1:-1], repr(one)[1:-1], html.escape(one), html.escape(one, quote=False),
            shlex.quote(one).strip("'"), one.replace("'", "\\'"), one.replace('"', '\\"'),
            html.escape(one).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        }  # fmt: skip
        yield from (form for form in own if len(form) >= _SHORTEST)
