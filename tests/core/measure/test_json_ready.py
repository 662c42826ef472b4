import json

import numpy as np

from core.measure.json_ready import json_ready


def test_an_absent_number_is_none_however_deep_it_lies():
    found = json_ready({"a": float("nan"), "b": [1.5, (float("inf"), np.float64(2.0))], "c": "nan", "d": 3})

    assert found == {"a": None, "b": [1.5, [None, 2.0]], "c": "nan", "d": 3}
    json.dumps(found, allow_nan=False)
