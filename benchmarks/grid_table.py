"""Print the grid of odd sizes as a Markdown table, from the JSON file of ``gradiometer bench --grid``."""

import argparse
import json
from pathlib import Path

from gradiometer.bench.report import time_text

OURS = "gradiometer"


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="a JSON file of gradiometer bench --grid")
    results = json.loads(parser.parse_args().results.read_text())
    peers = [name for name in results["workloads"][0]["peers"] if name != OURS]
    print(f"| hidden layers × width, batch, inputs | a step | {' | '.join(peers)} |")
    print("| --- " * (2 + len(peers)) + "|")
    for entry in results["workloads"]:
        size = f"{entry['depth']} × {entry['width']}, {entry['batch']}, {entry['inputs']}"
        ratios = [f"{entry['peers'][name]['ratio']:.2f}" for name in peers]
        print(f"| {size} | {time_text(entry['peers'][OURS]['seconds'])} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
