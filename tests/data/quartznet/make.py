"""Make quartznet.onnx: a small network of QuartzNet's shape with random weights, as PyTorch exports it.

    python tests/data/quartznet/make.py

Time-channel separable convolutions, BatchNorm, ReLU, residuals (Kriman et al. 2019, arXiv 1910.10261); in the second
block, squeeze-and-excite as Citrinet has it (Majumdar et al. 2021, arXiv 2104.01721), with linear layers. Committed so
that the tests need no PyTorch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

CHANNELS, TOKENS = 48, 29


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.layers = nn.Sequential(
            nn.Linear(channels, channels // 8, bias=False), nn.ReLU(), nn.Linear(channels // 8, channels, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        scale = self.layers(self.pool(x).transpose(1, 2)).transpose(1, 2)
        return x * torch.sigmoid(scale)


def separable(inner: int, outer: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv1d(inner, inner, kernel, stride, padding, dilation, groups=inner, bias=False),
        nn.Conv1d(inner, outer, 1, bias=False),
        nn.BatchNorm1d(outer),
    )


class Block(nn.Module):
    def __init__(self, kernel: int, excite: bool) -> None:
        super().__init__()
        first, second = separable(CHANNELS, CHANNELS, kernel), separable(CHANNELS, CHANNELS, kernel)
        self.body = nn.Sequential(first, nn.ReLU(), second)
        self.excite = SqueezeExcite(CHANNELS) if excite else nn.Identity()
        self.residual = nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, 1, bias=False), nn.BatchNorm1d(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.excite(self.body(x)) + self.residual(x))


class QuartzNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            separable(80, CHANNELS, 11, stride=2),
            nn.ReLU(),
            Block(11, False),
            Block(13, True),
            separable(CHANNELS, CHANNELS, 15, dilation=2),
            nn.ReLU(),
        )
        self.decoder = nn.Conv1d(CHANNELS, TOKENS, 1)

    def forward(self, log_mel: Tensor) -> Tensor:
        return torch.log_softmax(self.decoder(self.encoder(log_mel)).transpose(1, 2), -1)


def main() -> None:
    torch.manual_seed(0)
    model = QuartzNet()
    model.train()
    with torch.no_grad():  # BatchNorm statistics of something like log-mel
        for _ in range(20):
            model(torch.randn(8, 80, 256) * 3 - 8)
        model.decoder.weight *= 20  # random weights are unsure of every token
    model.eval()
    torch.onnx.export(
        model,
        (torch.zeros(1, 80, 256),),
        str(Path(__file__).with_name("quartznet.onnx")),
        dynamo=False,
        opset_version=17,
        input_names=["audio_signal"],
        output_names=["logprobs"],
        dynamic_axes={"audio_signal": {0: "batch", 2: "time"}, "logprobs": {0: "batch", 1: "time"}},
    )


if __name__ == "__main__":
    main()
