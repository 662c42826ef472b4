"""What the Label page asks about a labeler, and what it shows of a run that labeled."""

import dataclasses
from collections.abc import Mapping, Sequence

import streamlit as st

from core.errors import TiebreakError
from core.judging import Constitution, LabelerConfig, Mode, PrincipleUse, Source
from core.records import RunState
from db import connect, labels, pairs, runs
from db.constitutions import StoredConstitution
from ui import commands, labeling, show_labels, state, widgets
from ui.processes import Store

_TITLES = {
    Source.OPENAI: "Server",
    Source.LOCAL: "Model here",
    Source.REWARD_MODEL: "Reward model",
    Source.RULE: "Rule",
    Source.SIMULATED: "Simulated",
}
_RULES = ("longest", "shortest", "first", "random")
_MODES = {
    Mode.LOG_PROB: "One letter, whose probability counts. Cheapest, and the best sign of doubt, where a server has it.",
    Mode.VERDICT: "Reasons and a verdict as JSON. Works everywhere.",
    Mode.REASON: "Reasons first, then a letter whose probability counts. Two calls.",
}
_USES = {
    PrincipleUse.ALL: "All principles in one request.",
    PrincipleUse.EACH: "One request a principle: shows which of them pull apart, and costs as many times more.",
    PrincipleUse.SAMPLED: "One principle a pair, drawn at random.",
}
_DEFAULTS = LabelerConfig(source=Source.SIMULATED)
_FAULTS = {
    "accuracy": ("Right without bias", 0.51, 0.99, 0.01),
    "position_bias": ("Position bias, logits", -3.0, 3.0, 0.1),
    "length_bias": ("Length bias, logits", -3.0, 3.0, 0.1),
    "tie_rate": ("Share of ties", 0.0, 0.9, 0.05),
    "failure_rate": ("Share without a verdict", 0.0, 0.9, 0.05),
}
_SHOWN = 10


def title(source: Source) -> str:
    return _TITLES[source]


def settings(source: Source) -> tuple[str, dict[str, object]]:
    """The model's name and the labeler's settings, as they were filled in."""
    if source is Source.SIMULATED:
        return "", _faults()
    if source is Source.RULE:
        rule = st.segmented_control("Rule", _RULES, default="longest", key="label_rule")
        return rule or "longest", {}
    model = st.text_input("Model", key=f"label_model_{source.value}", placeholder=_PLACEHOLDERS[source]).strip()
    return model, _server() if source is Source.OPENAI else {}


_PLACEHOLDERS = {
    Source.OPENAI: "as the server names it",
    Source.LOCAL: "a folder or a hub id",
    Source.REWARD_MODEL: "a checkpoint's folder or a hub id",
}


def _faults() -> dict[str, object]:
    columns = st.columns(len(_FAULTS))
    return {
        name: column.number_input(
            words, least, most, getattr(_DEFAULTS, name), step, key=f"label_{name}", format="%.2f"
        )
        for column, (name, (words, least, most, step)) in zip(columns, _FAULTS.items(), strict=True)
    }


def _server() -> dict[str, object]:
    left, right = st.columns(2)
    url = left.text_input(
        "Base URL",
        key="label_base_url",
        placeholder="OpenAI's own",
        help="http://localhost:8000/v1 of a server of yours.",
    ).strip()
    variable = right.text_input(
        "Variable of the key",
        key="label_key_variable",
        placeholder="OPENAI_API_KEY",
        help="The name of the environment variable that holds the key. The key itself is never typed here or stored.",
    ).strip()
    mode = st.segmented_control(
        "How it is asked", list(_MODES), default=Mode.LOG_PROB, key="label_mode", format_func=lambda one: one.value
    )
    mode = mode or Mode.LOG_PROB
    st.caption(_MODES[mode])
    use = st.segmented_control(
        "Principles", list(_USES), default=PrincipleUse.ALL, key="label_use", format_func=lambda one: one.value
    )
    use = use or PrincipleUse.ALL
    st.caption(_USES[use])
    filled: dict[str, object] = {"mode": mode.value, "principles": use.value}
    return filled | {name: value for name, value in (("base_url", url), ("key_variable", variable)) if value}


def constitution(kept: Sequence[StoredConstitution]) -> Constitution | None:
    """The constitution in the editor; None where it cannot be followed, which is said."""
    titles = {one.id: f"{one.constitution.name}, version {one.version}" for one in kept}
    chosen = st.selectbox(
        "Constitution",
        [0, *titles],
        key="label_constitution",
        format_func=lambda one: titles.get(one, "the default one"),
    )
    begun = next((one.constitution for one in kept if one.id == chosen), None)
    with st.expander("Principles: read and edit"):
        text = st.text_area(
            "Each has an id, a weight and a text",
            labeling.constitution_text(begun),
            height=320,
            key=f"label_text_{chosen}",
        )
        try:
            edited = labeling.constitution_of_text(text)
        except TiebreakError as error:
            st.error(widgets.plain(str(error)))
            return None
        before = begun or labeling.constitution_of_text(labeling.constitution_text())
        for change in labeling.changes(before, edited):
            words = change.after or change.before
            st.caption(widgets.plain(f"{change.kind}: {change.id}: {'' if words is None else words.text}"))
        if edited.hash != before.hash:
            st.caption("It becomes a version of its own when the run starts; labels of the other versions stay.")
    return edited


def price(model: str) -> None:
    """Where a model's price is not known: a place to say it."""
    with st.popover("Say what the model costs", key="label_price"):
        tokens_in = st.number_input("US dollars for a million tokens in", min_value=0.0, key="label_price_in")
        tokens_out = st.number_input("US dollars for a million tokens out", min_value=0.0, key="label_price_out")
        if st.button("Keep", key="label_price_keep"):
            labeling.set_price(state.store(), model, tokens_in=tokens_in, tokens_out=tokens_out)
            state.forget_forecasts()
            st.rerun()


def trial(wish: labeling.Asked, num_pairs: int) -> labeling.Asked:
    """The same on a few pairs; what they answer is kept and not asked again."""
    return dataclasses.replace(wish, limit=num_pairs)


def command(store: Store, wish: labeling.Asked, filled: Mapping[str, object]) -> str:
    """`start_labels` with the same wish, as a command; an edited constitution must be saved to a file for it."""
    words = ["label", "--dataset", wish.dataset, "--labeler", wish.config.name]
    for name, value in filled.items():
        words += ["--set", f"{name}={value}"]
    words += [] if wish.limit is None else ["--limit", str(wish.limit)]
    words += [] if wish.max_cost is None else ["--max-cost", str(wish.max_cost)]
    if wish.constitution is not None and labeling.constitution_text() != labeling.constitution_text(wish.constitution):
        words += ["--constitution", "FILE.yaml"]
    return commands.command(store, *words)


def result(run: runs.Run) -> None:
    """How the newest run ended, and the first pairs it labeled."""
    if run.state is RunState.FAILED:
        st.error(widgets.plain(f"{run.labeler}: {run.error}."))
    else:
        st.write(widgets.plain(show_labels.labeled_words(run) + "."))
    if run.labeler is None or run.dataset_id is None:
        return
    store = state.store()
    with connect.read(store.engine) as conn:
        ids = [member.pair_id for member in pairs.members(conn, run.dataset_id, limit=_SHOWN)]
        found = labels.for_pairs(conn, run.labeler, ids, dataset_id=run.dataset_id)
        texts = dict(pairs.texts(conn, list(found)))
    for pair_id, label in found.items():
        with st.expander(widgets.plain(show_labels.label_words(label))):
            widgets.side_by_side(texts[pair_id], titles=("A", "B"))
