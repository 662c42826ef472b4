import numpy as np
import pytest

from core.engine.cache import Shards, cache_for


def key(number):
    return bytes([number]) * 32


@pytest.fixture
def shards(tmp_path):
    shards = Shards(tmp_path / "rows")
    shards.add([key(1), key(2)], {"value": np.array([10, 20])})
    shards.add([key(3)], {"value": np.array([30])})
    return shards


def found(shards, wanted):
    return {
        int(place): int(match.columns["value"][row])
        for match in shards.find(wanted)
        for row, place in zip(match.rows, match.places, strict=True)
    }


def test_rows_are_found_under_their_keys_in_any_shard(shards):
    assert shards.keys() == {key(1), key(2), key(3)}
    assert found(shards, [key(3), key(1)]) == {0: 30, 1: 10}


def test_key_wanted_twice_is_found_twice_and_a_missing_one_not_at_all(shards):
    assert found(shards, [key(2), key(9), key(2)]) == {0: 20, 2: 20}


def test_shard_that_holds_nothing_wanted_is_not_given(shards):
    assert len(list(shards.find([key(3)]))) == 1


def test_partial_file_of_a_killed_run_is_no_shard(shards):
    (shards.folder / "0123456789abcdef.partial").write_bytes(b"half a shard")

    assert len(shards.files()) == 2
    assert len(shards.keys()) == 3


def test_folder_that_is_not_there_is_empty(tmp_path):
    assert Shards(tmp_path / "nothing").keys() == set()


def test_other_rules_or_another_backbone_have_another_cache(load, decoder, encoder, tmp_path):
    several = [load(decoder), load(decoder, max_tokens=64), load(encoder)]

    assert len({cache_for(one, tmp_path).tokens.folder for one in several}) == 3
    assert cache_for(load(decoder), tmp_path) == cache_for(several[0], tmp_path)
