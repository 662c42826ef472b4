"""Page configuration and navigation of the app; each page is a script in `ui/pages`."""

import streamlit as st

from core.errors import TiebreakError

st.set_page_config(page_title="Tiebreak", page_icon="ui/icon.svg", layout="wide")
pages = {
    "": [st.Page("ui/pages/overview.py", title="Overview", icon=":material/dashboard:", default=True)],
    "Data": [
        st.Page("ui/pages/import.py", title="Import", icon=":material/note_add:", url_path="import"),
        st.Page("ui/pages/browse.py", title="Browse", icon=":material/table_rows:", url_path="browse"),
        st.Page("ui/pages/label.py", title="Label", icon=":material/gavel:", url_path="label"),
        st.Page("ui/pages/labelers.py", title="Labelers", icon=":material/groups:", url_path="labelers"),
    ],
    "Model": [
        st.Page("ui/pages/train.py", title="Train", icon=":material/model_training:", url_path="train"),
        st.Page("ui/pages/runs.py", title="Runs", icon=":material/show_chart:", url_path="runs"),
        st.Page("ui/pages/calibration.py", title="Calibration", icon=":material/speed:", url_path="calibration"),
        st.Page(
            "ui/pages/disagreements.py", title="Disagreements", icon=":material/balance:", url_path="disagreements"
        ),
    ],
    "Ship": [st.Page("ui/pages/export.py", title="Export", icon=":material/ios_share:", url_path="export")],
}
try:
    st.navigation(pages).run()
except TiebreakError as error:  # what a page did not foresee and the user can mend; a bug shows its traceback
    st.error("That did not work:")
    st.text(str(error))
