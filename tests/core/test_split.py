from core.records import Part
from core.split import part_of


def test_shares_are_eighty_ten_ten():
    parts = [part_of(f"{i:064x}") for i in range(10_000)]

    assert abs(parts.count(Part.TRAIN) - 8000) < 160  # four sd of binomial(10000, .8)
    assert abs(parts.count(Part.VALID) - 1000) < 120
    assert abs(parts.count(Part.TEST) - 1000) < 120


def test_a_prompt_never_moves():
    # Frozen values: moving a prompt would leak test pairs of earlier runs into training.
    assert [part_of(digit * 64) for digit in "01a"] == [Part.TRAIN, Part.TEST, Part.VALID]
