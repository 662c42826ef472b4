"""All measures of one set of rewards, bundled."""

import json

import numpy as np
import pandas as pd

from core.measure.evaluation import evaluate


def measured(subsets):
    count = len(subsets)
    return evaluate(
        pd.DataFrame(
            {
                "margin": np.linspace(-1, 3, count),
                "p_a": np.ones(count),
                "prompt": [str(i) for i in range(count)],
                "length_a": 1,
                "length_b": 2,
                "a_first": None,
                "subset": subsets,
            }
        ),
        temperature=None,
    )


def test_subsets_too_small_to_measure_are_counted():
    found = measured(["large"] * 6 + ["small"] * 4 + ["tiny"] + [None] * 9)

    assert [one.name for one in found.subsets] == ["large"]
    assert found.num_small_subsets == 2


def test_an_absent_number_is_none_in_json():
    found = json.loads(json.dumps(measured(["one"] * 3).to_dict(), allow_nan=False))

    assert found["temperature"] is None
    assert found["temperature_here"] == {"low": None, "high": None}
