"""What holds for every test and every process that a test starts: no network, one thread, no store of the user."""

import os

# Set before torch or huggingface_hub is imported; both read their environment once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("TIEBREAK_STORE", None)
