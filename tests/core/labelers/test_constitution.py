import pytest

from core.errors import BadConfig, NotFound
from core.judging import Principle
from core.labelers import constitution


def test_the_default_covers_what_it_promises():
    ids = [one.id for one in constitution.default().principles]

    assert ids == ["instruction", "helpful", "honest", "harmless", "concise"]


def test_what_is_written_is_read_as_the_same():
    written = constitution.write(constitution.default())

    assert constitution.parse(written, name="elsewhere") == constitution.default()


def test_the_hash_is_of_what_it_says_and_not_of_its_name():
    one = constitution.parse("[be kind, be brief]", name="one")

    assert one.hash == constitution.parse("[be kind, be brief]", name="two").hash
    assert one.hash != constitution.parse("[be brief, be kind]", name="one").hash
    assert one.principles[0] == Principle(id="1", text="be kind")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("principles: []", "no principles"),
        ("", "list of principles"),
        ("name: x", "list of principles"),
        ("principles: [{id: a, text: b}, {id: a, text: c}]", "2 principles with the id 'a'"),
        ("principles: [{id: a, text: b, weight: 0}]", "weight of principle 'a' must be above 0 and at most 100, got 0"),
        ("principles: [{id: a, text: b, weight: heavy}]", "weight of principle 1 must be a number"),
        ("principles: [{id: a, text: ''}]", "no id or no text"),
        ("principles: [{id: a, words: b}]", "unknown key in principle 1: words"),
        ("principles: [3]", "principle 1 must be a text"),
        ("principles: [", "is not YAML"),
        ("author: me\nprinciples: [be kind]", "unknown key in constitution: author"),
    ],
)
def test_a_constitution_that_cannot_be_followed_is_refused_in_one_sentence(text, words):
    with pytest.raises(BadConfig, match=words) as refused:
        constitution.parse(text, name="mine")

    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFound, match="does not exist"):
        constitution.read(tmp_path / "none.yaml")


def test_versions_differ_by_their_principles():
    before = constitution.parse("principles: [{id: a, text: x}, {id: b, text: y}, {id: c, text: z}]", name="n")
    after = constitution.parse("principles: [{id: d, text: w}, {id: a, text: x}, {id: b, text: Y}]", name="n")

    changes = constitution.compare(before, after)

    assert [(one.id, one.kind) for one in changes] == [("d", "added"), ("b", "changed"), ("c", "removed")]
