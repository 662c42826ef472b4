"""All benchmarks that need no data from outside: `make bench`. Each prints its own table."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

for command in (["demo_pairs.py"], ["store_million.py", "1000000"]):
    sys.stdout.write(f"\n# {' '.join(command)}\n")
    sys.stdout.flush()
    subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=True)
