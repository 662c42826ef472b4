"""What the command line prints about labelers that are asked: what a run would cost, how it ended, a report card."""

import dataclasses
import math

from core.measure.agreement import Agreement, Estimate
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
    left = foreseen.num_requests - foreseen.num_answered
    say(
        f"{foreseen.labeler}: {left:,} requests to ask about {foreseen.num_pairs:,} pairs"
        + (f"; {foreseen.num_answered:,} are answered already" if foreseen.num_answered else "")
    )
    if foreseen.tokens_in is None:
        say("it costs nothing")
        return
    say(f"about {foreseen.tokens_in:,} tokens in, at most {foreseen.tokens_out_at_most:,} out")
    say(_cost_words(foreseen))


def _cost_words(foreseen: Forecast) -> str:
    price = foreseen.price
    if price is None:
        return "cost unknown: tell the model's price with `tiebreak prices MODEL --in USD --out USD`"
    return f"cost ${foreseen.cost_at_least:,.2f} to ${foreseen.cost_at_most:,.2f}, by the prices of {price.as_of}"


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
    table("agreement with", [_agreement_line(name, one) for name, one in {**found.others, **found.rules}.items()])
    if found.effort is not None:
        _effort(found.effort)


def _estimate(one: Estimate) -> tuple[str, str]:
    interval = f"{percent(one.low)} to {percent(one.high)}" if math.isfinite(one.low) else "too few prompts"
    return percent(one.value), interval


def _agreement_line(name: str, one: Agreement) -> dict[str, object]:
    value, interval = _estimate(one.share_decided)
    return {
        "labeler": f"always the {name}" if name in {"longest", "shortest"} else name,
        "pairs": one.num_pairs,
        "same side": value if math.isfinite(one.share_decided.value) else None,
        "95% interval": interval if math.isfinite(one.share_decided.value) else None,
        "kappa": f"{one.kappa.value:.2f}" if math.isfinite(one.kappa.value) else None,
        "alpha": f"{one.alpha.value:.2f}" if math.isfinite(one.alpha.value) else None,
    }


def _effort(effort: Effort) -> None:
    ended = ", ".join(f"{count:,} {state}" for state, count in sorted(effort.by_status.items()))
    answered = effort.by_status.get("ok", 0)
    each = 1000 / answered if answered else math.nan
    cost = "cost unknown" if effort.num_unpriced else f"${effort.cost * each:,.2f}"
    say(f"requests: {ended}; {effort.num_attempts:,} calls")
    if answered:
        say(f"for a thousand votes: {cost}, {duration(effort.seconds * each)} of calls one after the other")
