"""Train: what to train on, how, and one click that starts a run of its own."""

import streamlit as st

from core.config import EMBEDDED_BACKBONE, Method, Overflow, Targets, Ties, TrainConfig
from core.errors import TiebreakError
from core.records import Part
from db import connect, labelers
from ui import actions, commands, findings, machine, show, state, widgets

METHODS = {
    Method.PROBE: "Probe: a head on the frozen backbone. Its features are computed once, then a run takes seconds.",
    Method.LORA: "LoRA: small adapters in the backbone are trained. More accurate with thousands of pairs, slower.",
    Method.FULL: "Full: every weight is trained. For a GPU and many pairs.",
}
HELD_OUT = {
    Part.VALID: "to choose the checkpoint and the temperature by",
    Part.TEST: "to report an accuracy on",
}
DEFAULTS = TrainConfig()

widgets.begin("Train")
widgets.needs_dataset()

here = state.dataset()
with connect.read(state.store().engine) as conn:
    found = labelers.summaries(conn, here.id)
if not found:
    st.info("These pairs have no labels yet, so there is nothing to learn from. Import a file that has labels.")
    if st.button("Import labels", key="train_import", type="primary"):
        st.switch_page("ui/pages/import.py")
    st.stop()
names = list(dict.fromkeys(one.name for one in found))
counts = {one.name: one.num_labels for one in found}
pooled = sorted({one.kind.value for one in found}) if len(names) > 1 else []
choices = [*names, *({"human": labelers.PEOPLE, "ai": labelers.AI}[kind] for kind in pooled)]

labeler = st.selectbox(
    "Learn from the labels of",
    choices,
    key="train_labeler",
    format_func=lambda who: f"{who} ({counts[who]:,} labels)" if who in counts else f"{who} (all of them, pooled)",
)
method = st.segmented_control(
    "Method", list(Method), default=Method.PROBE, key="train_method", format_func=lambda one: one.value
)
method = method or Method.PROBE
st.caption(METHODS[method])
left, right = st.columns(2)
backbone = left.text_input(
    "Backbone",
    value=EMBEDDED_BACKBONE,
    key="train_backbone",
    help="minilm needs no download; else a hub id or a folder.",
)
name = right.text_input("Name of the run (optional)", key="train_name")

settings: dict[str, object] = {"backbone": backbone.strip(), "method": method.value}
with st.expander("Settings"):
    columns = st.columns(3)
    devices = ["auto", *(device.name for device in machine.devices())]
    settings["device"] = columns[0].selectbox("Device", devices, key="train_device")
    settings["targets"] = columns[1].selectbox(
        "Targets", [one.value for one in Targets], key="train_targets", help="soft: the label's P(A is better)."
    )
    ties = [Ties.HALF, Ties.DROP, *([] if method is Method.PROBE else [Ties.PENALISE, Ties.DAVIDSON, Ties.RAO_KUPPER])]
    settings["ties"] = columns[2].selectbox(
        "Ties",
        [one.value for one in ties],
        key="train_ties",
        help="half: a tie pulls both rewards together. davidson, rao-kupper: the run learns how near two rewards tie.",
    )
    if method is not Method.PROBE:
        settings["epochs"] = columns[0].number_input("Epochs", min_value=1, value=DEFAULTS.epochs, key="train_epochs")
        settings["batch_pairs"] = columns[1].number_input(
            "Pairs in a batch", min_value=1, value=DEFAULTS.batch_pairs, key="train_batch_pairs"
        )
        rate = columns[2].text_input("Learning rate", placeholder="1e-4 lora, 1e-5 full", key="train_learning_rate")
        settings |= {"learning_rate": rate} if rate.strip() else {}
    tokens = columns[0].text_input("Max tokens", placeholder="as the backbone has", key="train_max_tokens")
    settings |= {"max_tokens": tokens} if tokens.strip() else {}
    settings["overflow"] = columns[1].selectbox(
        "Longer pairs", [one.value for one in Overflow], key="train_overflow", help="trim them by rule, or drop them."
    )
    settings["seed"] = columns[2].number_input("Seed", min_value=0, value=0, key="train_seed")

plan = state.training_set(labeler)
left_out = f"; {plan.num_without_label:,} without a label" if plan.num_without_label else ""
left_out += f"; {plan.num_dropped:,} dropped by people" if plan.num_dropped else ""
verdicts = f", {plan.num_verdicts:,} of them decided by people" if plan.num_verdicts else ""
st.write(
    f"**{show.counted(plan.parts[Part.TRAIN], 'pair')} to train on**{verdicts}; {plan.parts[Part.VALID]:,} to choose "
    f"the checkpoint, {plan.parts[Part.TEST]:,} to report on, which no training ever sees{left_out}."
)
every = sum(plan.parts.values())
if plan.num_ties and plan.num_ties == every:
    st.warning(f"All {every:,} labels are ties: nothing says which response is better, so there is nothing to learn.")
elif plan.num_ties:
    st.write(
        f"Among these {every:,}: {show.counted(plan.num_ties, 'tie')}. "
        + ("A tie pulls both rewards together." if settings["ties"] == Ties.HALF.value else "Training leaves ties out.")
    )
unheld = [words for part, words in HELD_OUT.items() if plan.parts[part] == 0]
if unheld and every:
    st.warning(
        f"No pair is held out {' or '.join(unheld)}. "
        "1 prompt in 10 goes to each; import pairs of more prompts, or a file as the missing part."
    )
findings.check_section(dataset=here.name, labeler=labeler, settings=settings)
st.divider()
with st.container(horizontal=True):
    start = st.button("Start training", key="train_start", type="primary", disabled=plan.parts[Part.TRAIN] == 0)
    widgets.twin(
        commands.train_command(
            state.store(), dataset=here.name, labeler=labeler, settings=settings, name=name.strip() or None
        )
    )
if start:
    try:
        run_id = actions.start_training(
            state.store(), dataset=here.name, labeler=labeler, settings=settings, name=name.strip() or None
        )
    except TiebreakError as error:
        st.error(widgets.plain(str(error)))
        st.stop()
    st.session_state["open_run"] = run_id
    st.switch_page("ui/pages/runs.py")
