"""What a preflight found, as rows of a page, and the section of the Train page that runs one."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.errors import TiebreakError
from core.findings import Finding, Level
from core.records import RunState
from ui import checks, commands, show, state, widgets
from ui.processes import is_over

_BADGES = {
    Level.FAIL: ("Fail", ":material/error:", "red"),
    Level.WARN: ("Warning", ":material/warning:", "orange"),
    Level.PASS: ("Pass", ":material/check:", "green"),
}
_BADGE_WIDTH = 92  # of the longest, so that sentences begin below each other


def rows(found: Sequence[Finding]) -> None:
    """Fails and warnings one below the other, what passed folded behind its number."""
    open_ones = [one for one in found if one.level is not Level.PASS]
    for one in open_ones:
        _row(one)
    passed = [one for one in found if one.level is Level.PASS]
    if passed:
        with st.expander(f"{show.counted(len(passed), 'check')} passed", icon=":material/check:"):
            for one in passed:
                _row(one)


def _row(one: Finding) -> None:
    word, icon, colour = _BADGES[one.level]
    with st.container(horizontal=True, vertical_alignment="top", gap="small"):
        with st.container(width=_BADGE_WIDTH):
            st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]  # one of its colours
        with st.container(gap="xxsmall"):
            st.markdown(f"**{show.check_title(one.check)}.** {widgets.plain(one.sentence)}")
            if one.what_to_do:
                st.caption(f":material/arrow_forward: {widgets.plain(one.what_to_do)}")
            if one.slices and one.level is not Level.PASS:
                with st.popover("Where", type="tertiary"):
                    st.dataframe(show.slice_rows(one.slices), hide_index=True)


def check_section(*, dataset: str, labeler: str, settings: Mapping[str, object]) -> None:
    """The newest preflight of what would be trained now, or the button that runs one."""
    store = state.store()
    st.subheader("Check before training")
    try:
        last = checks.last_preflight(store, dataset=dataset, labeler=labeler, settings=settings)
    except TiebreakError as error:
        st.caption(widgets.plain(f"Nothing can be checked with these settings: {error}."))
        return
    if last is not None and not is_over(last.run.state):
        widgets.run_until_done(last.run)
        return
    if last is not None and last.run.state is RunState.FAILED:
        st.error(widgets.plain(f"The check could not be made: {last.run.error}."))
    if last is None or not last.findings:
        st.caption(
            "Looks for what would go wrong: tokens and chat template, trimming, labels, duplicates, the split. "
            "It loads no weights and takes seconds."
        )
    else:
        _shown(last)
    with st.container(horizontal=True):
        again = last is not None and bool(last.findings)
        pressed = st.button("Check again" if again else "Check", key="train_check", icon=":material/fact_check:")
        widgets.twin(commands.preflight_command(store, dataset=dataset, labeler=labeler, settings=settings))
    if pressed:
        checks.start_preflight(store, dataset=dataset, labeler=labeler, settings=settings)
        st.rerun()


def _shown(last: checks.Preflight) -> None:
    st.caption(f"{show.finding_counts(last.findings)} · {show.ago(last.run.ended or last.run.created)}")
    if last.outdated:
        st.warning(
            widgets.plain(f"This may not hold any more: {last.outdated}. Check again."), icon=":material/history:"
        )
    rows(last.findings)
    pooled = next((one for one in last.findings if one.check == "pooled_token"), None)
    if pooled is not None and pooled.level is Level.PASS:
        st.caption(widgets.plain(pooled.sentence))
