import pytest

from core.errors import BadConfig, NotFound
from core.judging import Constitution, Principle
from db import connect, constitutions


def saying(text, name="mine"):
    return Constitution(
        name=name, principles=(Principle(id="one", text=text, weight=2.0), Principle(id="two", text="x"))
    )


def test_a_constitution_comes_back_as_it_was_kept(engine):
    with connect.write(engine) as conn:
        kept = constitutions.add(conn, saying("be kind"))

    assert (kept.version, kept.constitution) == (1, saying("be kind"))


def test_another_text_is_the_next_version_and_the_same_text_is_the_same_one(engine):
    with connect.write(engine) as conn:
        first = constitutions.add(conn, saying("be kind"))
        second = constitutions.add(conn, saying("be brief"))
        again = constitutions.add(conn, saying("be kind", name="other"))
        found = constitutions.all(conn)

    assert (second.version, again) == (2, first)
    assert [one.version for one in found] == [2, 1]


def test_a_name_nobody_can_type_is_refused(engine):
    with pytest.raises(BadConfig, match="constitution's name"), connect.write(engine) as conn:
        constitutions.add(conn, saying("be kind", name="a\nb"))


def test_one_that_is_not_there_is_named(engine):
    with pytest.raises(NotFound, match="no constitution 7"), connect.read(engine) as conn:
        constitutions.get(conn, 7)
