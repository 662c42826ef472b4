"""Label: let an AI say which response is better, under a constitution; see what it would ask and cost before."""

import streamlit as st

from core.errors import TiebreakError
from core.judging import Source
from db import connect, constitutions
from ui import judges, labeling, show_labels, state, widgets
from ui.processes import is_over

WHO = {
    Source.OPENAI: "A model behind any server that speaks OpenAI's chat completions: hosted, vLLM, Ollama, llama.cpp.",
    Source.LOCAL: "A causal language model on this machine: a folder, or a hub id. No server and no key.",
    Source.REWARD_MODEL: "A reward model: a checkpoint's folder, or any sequence classifier with one label.",
    Source.RULE: "A rule such as the longer response: what every other labeler should beat.",
    Source.SIMULATED: "A labeler with faults of your choice, to try the app without a key.",
}
TRIAL_PAIRS = 10

widgets.begin("Label")
widgets.needs_dataset()

here = state.dataset()
source = st.segmented_control(
    "Who labels", list(WHO), default=Source.OPENAI, key="label_source", format_func=judges.title
)
source = source or Source.OPENAI
st.caption(WHO[source])
model, settings = judges.settings(source)
constitution = None
if source in {Source.OPENAI, Source.LOCAL}:
    with connect.read(state.store().engine) as conn:
        kept = constitutions.all(conn)
    constitution = judges.constitution(kept)
    if constitution is None:
        st.stop()
left, right = st.columns(2)
limit = left.number_input("Only the first so many pairs (0: all)", min_value=0, value=0, key="label_limit")
budget = right.number_input("Budget in US dollars (0: none)", min_value=0.0, value=0.0, key="label_budget")
name = f"{source}:{model}" if model else str(source)
try:
    wish = labeling.asked(
        dataset=here.name,
        labeler=name,
        constitution=constitution,
        settings=settings,
        limit=limit or None,
        max_cost=budget or None,
    )
    foreseen = state.forecast(wish)
except TiebreakError as error:
    st.info(widgets.plain(f"Nothing can be asked yet: {error}."))
    st.stop()
st.write(widgets.plain(" ".join(show_labels.forecast_lines(foreseen))))
if foreseen.price is None and foreseen.tokens_in is not None:
    judges.price(model)
if foreseen.sample:
    with st.expander("One request, word for word"):
        for message in foreseen.sample:
            st.caption(message.role.value)
            st.code(widgets.visible(message.content), language=None, wrap_lines=True)
with st.container(horizontal=True):
    trial = st.button(f"Try on {TRIAL_PAIRS} pairs", key="label_try")
    start = st.button("Label all of these", key="label_start", type="primary")
    widgets.twin(judges.command(state.store(), wish, settings))
if trial or start:
    try:
        labeling.start_labels(state.store(), wish if start else judges.trial(wish, TRIAL_PAIRS))
    except TiebreakError as error:
        st.error(widgets.plain(str(error)))
        st.stop()
last = labeling.newest_run(state.store(), here.id)
if last is not None:
    st.divider()
    if not is_over(last.state):
        widgets.run_until_done(last)
    else:
        judges.result(last)
