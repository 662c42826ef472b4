"""Labelers: how far to trust each of them, and where any two differ."""

import pandas as pd
import streamlit as st

from db import connect, labelers
from ui import commands, plots, show_labels, state, widgets

widgets.begin("Labelers")
widgets.needs_dataset()

here = state.dataset()
with connect.read(state.store().engine) as conn:
    found = labelers.summaries(conn, here.id)
if not found:
    st.info("Nobody has labeled these pairs yet. Let an AI label them, or import labels.")
    if st.button("Label", key="labelers_label", type="primary"):
        st.switch_page("ui/pages/label.py")
    st.stop()
counts = {one.name: one.num_labels for one in found}
name = st.selectbox(
    "Labeler", list(counts), key="labelers_name", format_func=lambda who: f"{who} ({counts[who]:,} labels)"
)
report = state.report(name)

for place, (label, value, under) in zip(widgets.cards(), show_labels.card_numbers(report.card), strict=True):
    with place:
        widgets.measure(label, value, under)
if report.card.by_length:
    st.subheader("How often the longer response wins")
    st.plotly_chart(plots.longer_wins(report.card.by_length), key="labelers_longer")
st.subheader("Agreement")
st.caption("On the pairs that both labeled and on which neither says tie. 50 % is chance; bars are 95 % intervals.")
st.plotly_chart(plots.agreement(report.others, report.rules), key="labelers_agreement")
rows = [show_labels.agreement_line(who, one) for who, one in {**report.others, **report.rules}.items()]
with st.expander("As a table"):
    st.dataframe(pd.DataFrame(rows), hide_index=True)
for line in show_labels.effort_lines(report.effort):
    st.caption(widgets.plain(line))
widgets.twin(commands.command(state.store(), "report", "--dataset", here.name, "--labeler", name))
