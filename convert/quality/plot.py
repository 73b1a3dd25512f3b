"""Plots where quantization error enters the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convert.quality.sqnr import LayerError

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")  # Okabe & Ito 2008


def plot(layers: Sequence[LayerError], title: str, path: Path) -> None:
    """Writes PNG: SQNR of each tensor in the order of computation, coloured by the operator that makes it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 4.5), layout="constrained")
    axes.plot(range(len(layers)), [layer.sqnr_db for layer in layers], color="#dddddd", linewidth=1, zorder=1)
    for colour, op in zip(COLOURS * 4, sorted({layer.op for layer in layers}), strict=False):
        places = [i for i, layer in enumerate(layers) if layer.op == op]
        axes.scatter(places, [layers[i].sqnr_db for i in places], s=18, color=colour, label=op, zorder=2)
    blocks = [i for i, layer in enumerate(layers) if layer.op == "Add" or i == len(layers) - 1]
    axes.set_xticks(blocks, [layers[i].tensor[-22:] for i in blocks], rotation=60, ha="right", fontsize=7)
    axes.set(ylabel="SQNR against float32 (dB)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=4)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
