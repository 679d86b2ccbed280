"""ResNet-18 and ResNet-50 under torchvision's parameter names, so that its weights and timm's fit."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; the block's own output is the ReLU of their sum."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        """Return the sum's ReLU."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return functional.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside a shortcut; the block's own output is the ReLU of their sum.

    The 3×3 convolution has the stride, as in torchvision ("ResNet v1.5"); He et al. give it to the first.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1, self.relu1 = _conv(inputs, width, 1), nn.BatchNorm2d(width), nn.ReLU()
        self.conv2, self.bn2, self.relu2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width), nn.ReLU()
        self.conv3, self.bn3 = _conv(width, outputs, 1), nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        """Return the sum's ReLU."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return functional.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A residual network (He et al. 2015, arXiv 1512.03385) as torchvision builds it.

    Every ReLU that is a module is called once a pass, and the one behind a sum is the block's own output, so
    that each layer has one row in a survey. Convolutions start at N(0, 2 / (outputs · k²)), batch norms at
    1 and 0, ``fc`` at U(−1/√k, 1/√k).

    Args:
        block: ``BasicBlock`` or ``Bottleneck``.
        depths: blocks in each of the four stages.
        classes: outputs.
        cifar_stem: a 3×3 convolution of stride 1 and no pooling first, for images of 32×32; else 7×7, stride
            2, and max pooling.
        generator: where the start is drawn from; torch's global generator when None.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: tuple[int, int, int, int],
        *,
        classes: int = 1000,
        cifar_stem: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        with torch.device("meta"):  # draws nothing from torch's global generator
            self.conv1 = _conv(3, 64, 3) if cifar_stem else _conv(3, 64, 7, 2)
            self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU()
            self.maxpool = nn.Identity() if cifar_stem else nn.MaxPool2d(3, 2, 1)
            self.layer1 = _stage(block, 64, 64, depths[0], 1)
            self.layer2 = _stage(block, 64 * block.expansion, 128, depths[1], 2)
            self.layer3 = _stage(block, 128 * block.expansion, 256, depths[2], 2)
            self.layer4 = _stage(block, 256 * block.expansion, 512, depths[3], 2)
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(512 * block.expansion, classes)
        self.to_empty(device="cpu")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Linear):
                for parameter in module.parameters():
                    bound = module.in_features**-0.5
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(
    classes: int = 1000, *, cifar_stem: bool = False, generator: torch.Generator | None = None
) -> ResNet:
    """Return a ResNet-18 at its start: 11,689,512 parameters at 1,000 classes.

    >>> resnet18(10, cifar_stem=True).eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), classes=classes, cifar_stem=cifar_stem, generator=generator)


def resnet50(
    classes: int = 1000, *, cifar_stem: bool = False, generator: torch.Generator | None = None
) -> ResNet:
    """Return a ResNet-50 at its start: 25,557,032 parameters at 1,000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes=classes, cifar_stem=cifar_stem, generator=generator)


def _stage(
    block: type[BasicBlock | Bottleneck], inputs: int, width: int, depth: int, stride: int
) -> nn.Sequential:
    first = block(inputs, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(depth - 1)))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
