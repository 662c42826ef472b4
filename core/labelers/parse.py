"""Replies become answers. Kept apart from asking, so that a better reading needs no new call."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from core.judging import MOST_STRENGTH, Answer, Attempt, Mode, PrincipleVerdict, Request, Status
from core.labelers.prompt import LETTERS
from core.records import Preference

# P(the winner is better) of a verdict's strength 0 to 3, where no log-probabilities are to be had.
P_OF_STRENGTH = (0.5, 0.65, 0.8, 0.95)
MOST_OFF_FORMAT = 0.5
# A server that counted fewer of our tokens than this share has cut the prompt without a word.
LEAST_COUNTED = 0.9

_WINNERS = {"a": Preference.A, "b": Preference.B, "tie": Preference.TIE, "c": Preference.TIE}
_BRACKETED = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
_LAST_LINE = re.compile(
    r"^\W*(?:(?:final\s+)?(?:answer|verdict|winner|choice)\s*(?:is|:|=)?\W*)?(?:response\s+)?(A|B|tie)\W*$",
    re.IGNORECASE,
)
_PREFERS = re.compile(r"\b(?:response\s+)?([AB])\s+is\s+(?:clearly\s+|slightly\s+|much\s+|far\s+)?better\b")
_REFUSES = re.compile(
    r"\bi\s*(?:['\u2019]m|\s+am)\s+(?:sorry|unable)\b"
    r"|\bi\s+(?:can(?:not|['\u2019]t)|won['\u2019]t|will\s+not)\s+(?:help|assist|compare|judge|comply|do|provide|answer)\b",
    re.IGNORECASE,
)


def read(attempt: Attempt, request: Request, mode: Mode) -> Answer:
    """What an attempt says; every status but ok is said in `why`, and none of them is a preference."""
    if attempt.error is not None or attempt.reply is None:
        return Answer(status=Status.FAILED, why=attempt.error or "there was no reply")
    if _prompt_was_cut(attempt):
        counted, expected = attempt.tokens_in, attempt.tokens_expected
        why = f"the server read {counted:,} of about {expected:,} prompt tokens: it cut the prompt"
        return Answer(status=Status.TRUNCATED, why=why)
    answer = _verdict(attempt.reply, request) if mode is Mode.VERDICT else _letter(attempt)
    return _without_verdict(attempt, answer, mode) if answer.status is Status.UNPARSED else answer


def _without_verdict(attempt: Attempt, unparsed: Answer, mode: Mode) -> Answer:
    """Why a reply has none: refused and truncated are no mistakes of a parser."""
    if attempt.finish_reason == "content_filter":
        return Answer(status=Status.REFUSED, why="the server's content filter stopped the reply")
    if attempt.finish_reason == "length" and mode is Mode.VERDICT:
        return Answer(status=Status.TRUNCATED, why="the reply ended at its token limit before a verdict")
    if _REFUSES.search(attempt.reply or ""):
        return Answer(status=Status.REFUSED, why=f"the labeler refused: {_short(attempt.reply or '')}")
    return unparsed


def _prompt_was_cut(attempt: Attempt) -> bool:
    if attempt.tokens_in is None or attempt.tokens_expected is None:
        return False
    return attempt.tokens_in < LEAST_COUNTED * attempt.tokens_expected


def _letter(attempt: Attempt) -> Answer:
    """P(A) and P(B) from the likeliest tokens; a letter that is not among them is at most as likely as the last."""
    if attempt.log_probs is None:
        return Answer(status=Status.UNPARSED, why="the reply has no log-probabilities; mode=verdict needs none")
    listed: Mapping[str, float] = json.loads(attempt.log_probs)
    chances = {letter: _chance_of(letter, listed) for letter in LETTERS}
    off_format = max(0.0, 1.0 - sum(chances.values()))
    if off_format > MOST_OFF_FORMAT:
        why = (
            f"{off_format:.0%} of the probability is on words that are no answer, such as {_likeliest_other(listed)!r}"
        )
        return Answer(status=Status.UNPARSED, why=why, off_format=off_format)
    least = math.exp(min(listed.values()))
    first, second = (chances[letter] or least for letter in LETTERS)
    p_first = first / (first + second)
    return Answer(
        status=Status.OK,
        preference=_preferred(p_first),
        p_first=p_first,
        off_format=off_format,
        rationale=attempt.reasoning,
        contradicts=_named_winner(attempt.reasoning) not in {None, _preferred(p_first)},
    )


def _chance_of(letter: str, listed: Mapping[str, float]) -> float:
    """Over the ways to write a letter: "A", " A", "a"."""
    return math.fsum(math.exp(value) for token, value in listed.items() if token.strip().upper() == letter)


def _likeliest_other(listed: Mapping[str, float]) -> str:
    others = [token for token in listed if token.strip().upper() not in LETTERS]
    return max(others, key=lambda token: listed[token], default="")


def _preferred(p_first: float) -> Preference:
    if p_first == 0.5:
        return Preference.TIE
    return Preference.A if p_first > 0.5 else Preference.B


def _verdict(reply: str, request: Request) -> Answer:
    """JSON, else the last [[A]], else a last line that is only the answer. Two verdicts are none."""
    objects = [found for found in _json_objects(reply) if "winner" in found]
    if objects:
        return _from_json(objects, request)
    bracketed = {_WINNERS[found.lower()] for found in _BRACKETED.findall(reply)}
    if len(bracketed) > 1:
        return Answer(status=Status.UNPARSED, why="the reply names two different winners", rationale=reply.strip())
    lines = [line for line in reply.strip().splitlines() if line.strip()]
    last = _LAST_LINE.match(lines[-1].strip()) if lines else None
    winner = next(iter(bracketed)) if bracketed else _WINNERS[last[1].lower()] if last else None
    if winner is None:
        return Answer(status=Status.UNPARSED, why=f"the reply has no verdict: {_short(reply)}")
    return Answer(
        status=Status.OK,
        preference=winner,
        rationale=reply.strip(),
        contradicts=_named_winner(reply) not in {None, winner},
    )


def _json_objects(reply: str) -> list[dict[str, Any]]:
    """Every outermost JSON object in a text, whatever stands around it."""
    decoder, found, place = json.JSONDecoder(), [], reply.find("{")
    while place >= 0:
        try:
            content, end = decoder.raw_decode(reply, place)
        except (json.JSONDecodeError, RecursionError):
            end = place + 1
        else:
            if isinstance(content, dict):
                found.append(content)
        place = reply.find("{", end)
    return found


def _from_json(objects: list[dict[str, Any]], request: Request) -> Answer:
    winners = {_winner(found["winner"]) for found in objects}
    if None in winners:
        return Answer(status=Status.UNPARSED, why=f"winner must be A, B or tie, got {objects[-1]['winner']!r}")
    if len(winners) > 1:
        return Answer(status=Status.UNPARSED, why="the reply names two different winners")
    content, winner = objects[-1], winners.pop()
    assert winner is not None  # asked above
    strength = _strength(content.get("strength"))
    if content.get("strength") is not None and strength is None:
        why = f"strength must be a whole number from 0 to {MOST_STRENGTH}, got {content['strength']!r}"
        return Answer(status=Status.UNPARSED, why=why)
    rationale = content.get("rationale")
    rationale = rationale.strip() if isinstance(rationale, str) else None
    by_principle = _by_principle(content.get("principles"), request)
    return Answer(
        status=Status.OK,
        preference=winner,
        p_first=p_of_verdict(winner, strength),
        strength=strength,
        rationale=rationale,
        contradicts=_named_winner(rationale) not in {None, winner} or _principles_differ(by_principle, request, winner),
        by_principle=by_principle,
    )


def p_of_verdict(winner: Preference, strength: int | None) -> float | None:
    """P(first is better) of a winner and a strength; None where no strength was given."""
    if strength is None:
        return None
    if winner is Preference.TIE:
        return 0.5
    p_winner = P_OF_STRENGTH[strength]
    return p_winner if winner is Preference.A else 1.0 - p_winner


def _by_principle(content: object, request: Request) -> tuple[PrincipleVerdict, ...]:
    if not isinstance(content, list):
        return ()
    known = {one.id for one in request.principles}
    found = {}
    for one in content:
        if isinstance(one, dict) and str(one.get("id")) in known:
            name = str(one["id"])
            found[name] = PrincipleVerdict(
                principle=name, preference=_winner(one.get("winner")), strength=_strength(one.get("strength"))
            )
    return tuple(found.values())


def _principles_differ(said: tuple[PrincipleVerdict, ...], request: Request, winner: Preference) -> bool:
    """Whether the principles that apply, by their weights, name the other side."""
    weights = {one.id: one.weight for one in request.principles}
    sides = {Preference.A: 1.0, Preference.B: -1.0, Preference.TIE: 0.0}
    balance = sum(
        weights[one.principle] * sides[one.preference] * (MOST_STRENGTH if one.strength is None else one.strength)
        for one in said
        if one.preference is not None
    )
    return balance * sides[winner] < 0


def _winner(value: object) -> Preference | None:
    word = str(value).strip().lower().removeprefix("response ")
    return _WINNERS.get(word)


def _strength(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        return None
    return int(value) if 0 <= value <= MOST_STRENGTH else None


def _named_winner(reasons: str | None) -> Preference | None:
    """The response that the last sentence calls better, if it calls one."""
    if not reasons:
        return None
    named = _PREFERS.findall(re.split(r"(?<=[.!?])\s+", reasons.strip())[-1])
    return _WINNERS[named[-1].lower()] if named else None


def _short(text: str, most: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most] + "…"
