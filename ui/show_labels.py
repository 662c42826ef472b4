"""What the command line prints about labelers that are asked: what a run would cost, how it ended, a report card."""

import dataclasses
import math

from core.measure.agreement import Agreement, Estimate
from core.measure.report_card import LONGER_BY, ReportCard
from core.records import Consistency, Label, Preference
from db import runs
from db.requests import Effort
from ui.labeling import Forecast
from ui.report import Report
from ui.show import duration, percent, say, table


def forecast_object(foreseen: Forecast) -> dict[str, object]:
    """What `label --dry-run --json` prints."""
    sample = [{"role": message.role.value, "content": message.content} for message in foreseen.sample]
    return {**dataclasses.asdict(foreseen), "sample": sample}


def forecast(foreseen: Forecast) -> None:
    """One request as it would be sent, then what all would cost; nothing was asked."""
    for message in foreseen.sample:
        say(f"--- {message.role.value} ---\n{message.content}\n")
    for line in forecast_lines(foreseen):
        say(line)


def forecast_lines(foreseen: Forecast) -> list[str]:
    """What would be asked and what it would cost, in a sentence each."""
    left = foreseen.num_requests - foreseen.num_answered
    before = f"; {foreseen.num_answered:,} are answered already" if foreseen.num_answered else ""
    asked = f"{foreseen.labeler}: {left:,} requests to ask about {foreseen.num_pairs:,} pairs{before}."
    if foreseen.tokens_in is None:
        return [asked, "It costs nothing."]
    tokens = f"About {foreseen.tokens_in:,} tokens in, at most {foreseen.tokens_out_at_most:,} out."
    return [asked, tokens, _cost_words(foreseen)]


def _cost_words(foreseen: Forecast) -> str:
    price = foreseen.price
    if price is None:
        return "The cost is unknown: nobody said what the model costs (tiebreak prices MODEL --in USD --out USD)."
    return f"${foreseen.cost_at_least:,.2f} to ${foreseen.cost_at_most:,.2f}, by the prices of {price.as_of}."


def label_words(label: Label) -> str:
    """One label in words."""
    said = {None: "a tie", Preference.A: "A is better", Preference.B: "B is better"}[label.side]
    how = {
        Consistency.CONSISTENT: "the same in both orders",
        Consistency.ORDER_FLIPPED: "another winner in the other order",
        Consistency.REPEAT_SPLIT: "another winner when asked again",
        Consistency.SINGLE: "asked once",
    }[label.consistency]
    return f"{said}: P(A) {percent(label.p_a)}, {how}"


def labeled_words(run: runs.Run) -> str:
    """How a run that labels ended, in a sentence or two."""
    metrics = run.metrics or {}
    answers = {name: count for name, count in metrics.get("answers", {}).items() if name != "ok"}
    words = f"run {run.id} {run.state}: {metrics.get('answers', {}).get('ok', 0):,} votes by {run.labeler}"
    if metrics.get("num_answered_before"):
        words += f", {metrics['num_answered_before']:,} were there before"
    words += "".join(f", {count:,} {name}" for name, count in sorted(answers.items()))
    if metrics.get("cost"):
        words += f"; ${metrics['cost']:,.2f} spent"
    if metrics.get("cost") is None:
        words += f"; cost unknown ({metrics.get('tokens_in', 0):,} tokens in, {metrics.get('tokens_out', 0):,} out)"
    if metrics.get("why_stopped"):
        words += f"; stopped: {metrics['why_stopped']}"
    return words


def report(found: Report) -> None:
    """A report card as three short tables; what cannot be told is left out."""
    card = found.card
    rows = [("ties", percent(card.tie_rate), "")]
    if card.position is not None:
        rows += [
            ("another winner in the other order", *_estimate(card.position.flip_rate)),
            (
                "of those, to the first shown",
                percent(card.position.first_among_flips),
                f"p {card.position.p_value:.2g}",
            ),
        ]
        if math.isfinite(card.position.bias.value):
            bias = card.position.bias
            rows.append(("position bias, logits", f"{bias.value:+.2f}", f"{bias.low:+.2f} to {bias.high:+.2f}"))
    measured = [
        ("the same winner when asked again", card.same_again),
        ("prefers the longer response", card.prefers_longer),
        ("prefers the response with a list", card.prefers_list),
        ("principles in conflict", card.principle_conflict),
    ]
    rows += [(name, *_estimate(one)) for name, one in measured if one is not None and math.isfinite(one.value)]
    if card.contradicts is not None:
        rows.append(("votes against their own reasons", percent(card.contradicts), ""))
    table(
        f"{found.labeler} on {found.dataset}: {card.num_pairs:,} pairs, {card.num_votes:,} votes",
        [{"measure": name, "share": value, "95% interval": interval} for name, value, interval in rows],
    )
    table("agreement with", [agreement_line(name, one) for name, one in {**found.others, **found.rules}.items()])
    for line in effort_lines(found.effort):
        say(line)


def _estimate(one: Estimate) -> tuple[str, str]:
    interval = f"{percent(one.low)} to {percent(one.high)}" if math.isfinite(one.low) else "too few prompts"
    return percent(one.value), interval


def agreement_line(name: str, one: Agreement) -> dict[str, object]:
    value, interval = _estimate(one.share_decided)
    return {
        "labeler": f"always the {name}" if name in {"longest", "shortest"} else name,
        "pairs": one.num_pairs,
        "same side": value if math.isfinite(one.share_decided.value) else None,
        "95% interval": interval if math.isfinite(one.share_decided.value) else None,
        "kappa": f"{one.kappa.value:.2f}" if math.isfinite(one.kappa.value) else None,
        "alpha": f"{one.alpha.value:.2f}" if math.isfinite(one.alpha.value) else None,
    }


def effort_lines(effort: Effort | None) -> list[str]:
    """What a labeler's answers took; nothing for one that was never asked."""
    if effort is None:
        return []
    ended = ", ".join(f"{count:,} {state}" for state, count in sorted(effort.by_status.items()))
    lines = [f"Requests: {ended}; {effort.num_attempts:,} calls."]
    answered = effort.by_status.get("ok", 0)
    if answered:
        each = 1000 / answered
        cost = "cost unknown" if effort.num_unpriced else f"${effort.cost * each:,.2f}"
        took = duration(effort.seconds * each)
        lines.append(f"For a thousand votes: {cost}, {took} of calls one after the other.")
    return lines


def card_numbers(card: ReportCard) -> list[tuple[str, str, str]]:
    """The four numbers of a report card that say most: a name, a value, and what stands under it."""
    flips = ("Changes with the order", "-", "no pair was asked in both orders")
    bias = ("Position bias", "-", "it gives no probabilities, or no pair was asked in both orders")
    if card.position is not None:
        value, interval = _estimate(card.position.flip_rate)
        flips = ("Changes with the order", value, f"{interval}, of {card.position.num_pairs:,} pairs asked in both")
        if math.isfinite(card.position.bias.value):
            found = card.position.bias
            bias = (
                "Position bias",
                f"{found.value:+.2f}",
                f"{found.low:+.2f} to {found.high:+.2f} logits; above 0 the first shown gains",
            )
    longer, longer_interval = _estimate(card.prefers_longer)
    known = math.isfinite(card.prefers_longer.value)
    return [
        flips,
        bias,
        (
            "Prefers the longer",
            longer if known else "-",
            f"{longer_interval}, where it is longer by more than {LONGER_BY} characters"
            if known
            else f"no two responses differ in length by more than {LONGER_BY} characters",
        ),
        ("Ties", percent(card.tie_rate), f"of {card.num_pairs:,} labels from {card.num_votes:,} votes"),
    ]
