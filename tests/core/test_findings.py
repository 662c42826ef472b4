from core.findings import Finding, Level, by_level, concentration, of_pairs, passes, slices_of


def test_fails_are_read_first_and_equals_keep_their_order():
    warn = Finding(check="b", level=Level.WARN, sentence="")
    fail = Finding(check="c", level=Level.FAIL, sentence="")

    assert [one.check for one in by_level([passes("a", ""), warn, passes("d", ""), fail])] == ["c", "b", "a", "d"]


def test_slices_are_counted_with_their_size_the_largest_share_first():
    names = [["code", "long"], ["code", "short"], ["chat", "long"], ["chat", "short"]]

    found = slices_of([True, True, True, False], names)

    assert [(one.name, one.num, one.num_all) for one in found] == [
        ("code", 2, 2),
        ("long", 2, 2),
        ("chat", 1, 2),
        ("short", 1, 2),
    ]


def test_only_slices_well_above_the_whole_are_named():
    # 6 of 20: 30 %. Half or more of a slice is well above, 4 of 10 is not, and 2 of 2 are too few to name.
    names = [["code"]] * 5 + [["chat"]] * 10 + [["rare"]] * 2 + [["rest"]] * 3
    concerned = [True] * 4 + [False] * 11 + [True] * 2 + [False] * 3

    slices = slices_of(concerned, names)

    assert concentration(slices, num=6, num_all=20) == "; most in code (80 %)"


def test_a_slice_that_holds_every_pair_says_nothing():
    assert concentration(slices_of([True] * 5, [["all"]] * 5), num=5, num_all=5) == ""


def test_shares_are_shown_beside_counts():
    assert of_pairs(312, 1352) == "312 of 1,352 pairs (23.1 %)"
    assert of_pairs(1, 1) == "1 of 1 pair (100.0 %)"
