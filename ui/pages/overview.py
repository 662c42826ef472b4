"""Overview: what is in the store, how good the newest model is, and what to do next."""

import streamlit as st

from core.records import Bucket, RunKind
from db import connect, labelers, runs, stats, verdicts
from ui import plots, review, show, state, widgets

widgets.begin("Overview")

if not state.all_datasets():
    st.write(
        "Tiebreak trains a preference model from pairs that an AI has labeled, and finds the labels that are wrong."
    )
    with st.container(border=True):
        st.subheader("Begin with pairs")
        st.write(
            "A pair is a prompt and two responses, with a label that says which is better. Import a file of yours, or "
            "try the whole loop on the shipped demo pairs: 8 % of their labels are wrong on purpose."
        )
        with st.container(horizontal=True):
            widgets.load_demo_button(primary=True)
            if st.button("Import a file", key="go_import"):
                st.switch_page("ui/pages/import.py")
    st.stop()

here = state.dataset()
with connect.read(state.store().engine) as conn:
    known = labelers.summaries(conn, here.id)
    model = runs.newest(conn, kind=RunKind.TRAIN, dataset_id=here.id)
    crossfit = runs.newest(conn, kind=RunKind.CROSSFIT, dataset_id=here.id)
    decided = verdicts.effective(conn, dataset_id=here.id)
    whole = stats.overview(conn)
    steps = None if model is None else runs.steps_of(conn, model.id)

metrics = {} if model is None else dict(model.metrics)
ranked = None if crossfit is None else state.ranked(str(crossfit.labeler), crossfit.id)
doubted = 0
if ranked is not None:
    sizes = review.queue_sizes(ranked, review.open_labels(state.store(), ranked, dataset=here.name))
    doubted = sizes[Bucket.LABEL_ERROR].num_open if Bucket.LABEL_ERROR in sizes else 0
value, under = widgets.accuracy_words(metrics)

cards = widgets.cards()
with cards[0]:
    widgets.measure("Pairs", f"{here.num_pairs:,}", f"in {here.name}")
with cards[1]:
    most = known[0] if known else None
    share = f"{100 * most.num_labels / here.num_pairs:.0f} %" if most and here.num_pairs else "0 %"
    others = f", {len(known) - 1:,} more labelers" if len(known) > 1 else ""
    widgets.measure("Labeled", share, f"by {most.name} ({most.kind.value}){others}" if most else "nobody yet")
with cards[2]:
    widgets.measure(
        "Accuracy, held out",
        value,
        under if model else "train a model to see it",
        help_="Share of test pairs on which the model and the label prefer the same response.",
    )
with cards[3]:
    widgets.measure(
        "Probably wrong labels",
        f"{doubted:,}" if ranked else "-",
        f"{show.counted(len(decided), 'pair')} decided by people so far" if ranked else "rank the labels to see them",
        help_="Labels that models which never saw the prompt clearly contradict.",
    )

with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    if not known:
        st.write("**Next: get labels.** These pairs have none; import a file that has.")
        if st.button("Import labels", key="next_step", type="primary"):
            st.switch_page("ui/pages/import.py")
    elif model is None:
        st.write("**Next: train a preference model.** A probe on the embedded backbone takes minutes on a laptop.")
        if st.button("Train a model", key="next_step", type="primary"):
            st.switch_page("ui/pages/train.py")
    elif ranked is None:
        st.write(
            "**Next: find the labels that are wrong.** Cross-fitted models judge every pair without having seen it."
        )
        if st.button("Rank the labels", key="next_step", type="primary"):
            st.switch_page("ui/pages/disagreements.py")
    elif not doubted:
        st.write(
            f"**{'No label is probably wrong any more.' if decided else 'No label looks wrong.'}** "
            "Next: export the model, or look at the labels it is less sure of."
        )
        if st.button("Export the model", key="next_step", type="primary"):
            st.switch_page("ui/pages/export.py")
    else:
        st.write(f"**Next: look at the {show.counted(doubted, 'label')} most probably wrong.** About 10 seconds each.")
        if st.button("Start triage", key="next_step", type="primary"):
            st.switch_page("ui/pages/disagreements.py")

left, right = st.columns(2)
with left:
    if model is not None and steps is not None and len(steps):
        st.subheader(f"Run {model.id} · loss")
        st.plotly_chart(plots.loss_curve(steps), key="overview_curve", config={"displayModeBar": False})
with right:
    if metrics.get("reliability"):
        st.subheader(f"Calibration against {widgets.plain(str(metrics.get('against')))}")
        st.plotly_chart(plots.reliability(metrics), key="overview_reliability", config={"displayModeBar": False})

st.caption(
    f"In the whole store: {show.counted(whole.num_datasets, 'dataset')}, {show.counted(whole.num_pairs, 'pair')}, "
    f"{show.counted(whole.num_labels_ai, 'label')} by AI and {whole.num_labels_human:,} by people, "
    f"{show.counted(whole.num_verdicts, 'verdict')}, {show.counted(sum(whole.num_runs_by_state.values()), 'run')}."
)
