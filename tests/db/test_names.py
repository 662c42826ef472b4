import pytest

from core.errors import BadConfig
from db.names import check_text


@pytest.mark.parametrize("name", ["answers", "[/foo]", "with space", "日本", "👩‍🔬", "a" * 200])
def test_any_text_that_a_person_can_read_is_a_name(name):
    check_text(name, "a dataset's name")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "must not be blank, got ''"),
        (" \t", "must not be blank"),
        ("a" * 201, "at most 200 characters, got 201"),
        ("caf\udce9", r"must be plain text, got 'caf\\udce9', which holds half a surrogate pair"),
        ("a\x00b", "which holds a control character"),
        ("a\nb", "which holds a control character"),
    ],
)
def test_a_name_that_is_blank_or_cannot_be_kept_is_one_sentence(name, why):
    with pytest.raises(BadConfig, match=why):
        check_text(name, "a dataset's name")
