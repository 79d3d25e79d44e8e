"""Draw the workloads of a benchmark under the roofs of the machine, from the JSON file of ``gradiometer bench``.

``python roofline.py results/xeon-1.json --out ../docs/pictures/roofline-xeon.png``
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from common import Table
from matplotlib.figure import Figure

from gradiometer.bench.report import COLOURS, time_text
from gradiometer.bench.workloads import WORKLOADS, Workload


def main() -> None:
    """Print the floors, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="a JSON file of gradiometer bench")
    parser.add_argument("--out", type=Path, default=Path("roofline.png"), help="the picture")
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    table = Table(
        "workload", "multiply-adds", "at the peak", "least bytes", "at the cache's speed", "at memory's", "step"
    )
    machine = results["machine"]
    for entry in results["workloads"]:
        flops, peak = entry["flops"], float(np.median(entry["peaks"]))
        bytes_moved = least_bytes(WORKLOADS[entry["name"]])
        table.add(
            entry["name"],
            f"{flops / 2e6:.1f} M",
            time_text(flops / peak),
            f"{bytes_moved / 1e6:.1f} MB",
            time_text(bytes_moved / machine["cache_bandwidth"]),
            time_text(bytes_moved / machine["memory_bandwidth"]),
            time_text(entry["peers"]["gradiometer"]["seconds"]),
        )
    table.show()
    draw(results).savefig(options.out, dpi=150)


def least_bytes(workload: Workload) -> float:
    """Return what a step must read and write at least, if nothing stays in registers from one pass to the next.

    Weights are read forward, backward and in the update, and written; gradients are written and read; the optimizer's
    state is read and written. An activation is written, and read by the next layer, by its own way back and by a weight
    gradient; a delta is written, and read twice. A batch norm's normalised input is written, and read twice.
    """
    parameters = sum(fan_in * fan_out + fan_out for fan_in, fan_out in workload.sizes)
    units = sum(fan_out for _, fan_out in workload.sizes)
    state = 4 if workload.optimizer == "adam" else 0
    normalized = 3 * workload.depth * workload.width if workload.batch_norm else 0
    return 4.0 * workload.copies * (parameters * (6 + state) + workload.batch * (7 * units + normalized))


def draw(results: dict[str, Any]) -> Figure:
    """Return the picture: operations a second over operations a byte, both on log scales."""
    machine = results["machine"]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    intensities = np.geomspace(1, 1000, 200)
    peak = float(np.median([peak for entry in results["workloads"] for peak in entry["peaks"]]))
    for name, bandwidth, style in (("cache", "cache_bandwidth", "-"), ("memory", "memory_bandwidth", "--")):
        roof = np.minimum(peak, intensities * machine[bandwidth]) / 1e9
        axes.plot(intensities, roof, style, color="#33383d", label=f"{name}: {machine[bandwidth] / 1e9:.0f} GB/s")
    axes.text(990, peak / 1e9 * 1.08, f"multiply-adds: {peak / 1e9:.0f} GFLOP/s", ha="right", color="#33383d")
    slowest = []
    for entry in results["workloads"]:
        if entry["copies"] > 1:
            continue  # a sweep stands where its networks do
        intensity = entry["flops"] / least_bytes(WORKLOADS[entry["name"]])
        speeds = {name: peer.get("flops_per_second", np.nan) / 1e9 for name, peer in entry["peers"].items()}
        slowest.append(np.nanmin(list(speeds.values())))
        axes.plot([intensity] * 2, [slowest[-1], speeds["gradiometer"]], color="#d5d9dd", zorder=0)
        for name, speed in speeds.items():
            axes.plot(intensity, speed, "D" if name == "gradiometer" else "o", color=COLOURS[name], markersize=6)
        axes.annotate(
            entry["name"],
            (intensity, slowest[-1]),
            (0, -14),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    for name, colour in COLOURS.items():
        axes.plot([], [], "D" if name == "gradiometer" else "o", color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="operations for each byte that must move (log scale)")
    axes.set_ylim(min(slowest) / 2, 1000)  # half: room for a name
    axes.set_ylabel("GFLOP/s (log scale)")
    axes.legend(fontsize="small", loc="lower right", frameon=False)
    axes.grid(color="#eceef1")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("A training step under the roofs of the machine", loc="left", fontweight="bold")
    return figure


if __name__ == "__main__":
    main()
