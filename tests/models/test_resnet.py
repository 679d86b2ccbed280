import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from superscope.core.errors import ModelError, WeightsError
from superscope.models import load_model, resnet18, resnet50


def published(depths, bottleneck, classes=1000, stem=7):
    """torchvision's names and shapes, written from the structure that its documentation and paper give."""
    names = {"conv1.weight": (64, 3, stem, stem)} | norm("bn1", 64)
    inputs = 64
    for stage, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512), strict=True), 1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            outputs = width * 4 if bottleneck else width
            shapes = (
                [(width, inputs, 1, 1), (width, width, 3, 3), (outputs, width, 1, 1)]
                if bottleneck
                else [(width, inputs, 3, 3), (width, width, 3, 3)]
            )
            for number, shape in enumerate(shapes, 1):
                names |= {f"{at}.conv{number}.weight": shape} | norm(f"{at}.bn{number}", shape[0])
            if block == 0 and (stage > 1 or bottleneck):
                names |= {f"{at}.downsample.0.weight": (outputs, inputs, 1, 1)}
                names |= norm(f"{at}.downsample.1", outputs)
            inputs = outputs
    return names | {"fc.weight": (classes, inputs), "fc.bias": (classes,)}


def norm(name, width):
    parts = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (width,))
    return {f"{name}.{part}": shape for part, shape in (parts | {"num_batches_tracked": ()}).items()}


@pytest.mark.parametrize(
    ("make", "depths", "bottleneck", "entries", "parameters"),
    [
        (resnet18, (2, 2, 2, 2), False, 122, 11_689_512),
        (resnet50, (3, 4, 6, 3), True, 320, 25_557_032),
    ],
)
def test_names_shapes_and_order_are_torchvisions(make, depths, bottleneck, entries, parameters):
    model = make()
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert list(own.items()) == list(published(depths, bottleneck).items())
    assert len(own) == entries
    assert sum(value.numel() for value in model.parameters()) == parameters


def test_the_bottleneck_strides_in_its_3x3():
    block = resnet50().layer2[0]
    assert [conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)] == [1, 2, 1]
    assert block.downsample[0].stride == (2, 2)


def test_the_forward_pass_is_the_published_one():
    model = resnet18(10, generator=torch.Generator().manual_seed(1)).eval()
    state = model.state_dict()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return nn.functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def batch_norm(x, name):
        parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return nn.functional.batch_norm(x, *parts)

    x = nn.functional.max_pool2d(batch_norm(conv(images, "conv1", 2), "bn1").relu(), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            out = batch_norm(conv(x, f"{at}.conv1", stride), f"{at}.bn1").relu()
            out = batch_norm(conv(out, f"{at}.conv2"), f"{at}.bn2")
            if stride == 2:
                x = batch_norm(conv(x, f"{at}.downsample.0", 2), f"{at}.downsample.1")
            x = (x + out).relu()
    expected = nn.functional.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])
    torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=1e-4)


def test_the_start_comes_from_the_generator_alone():
    before = torch.get_rng_state()
    one, other = (resnet18(10, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )
    weight = one.layer4[1].conv2.weight.detach()
    assert float(weight.std(correction=0)) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)  # He's, fan out
    assert float(one.fc.weight.detach().abs().max()) == pytest.approx(512**-0.5, rel=0.01)
    assert torch.equal(one.bn1.running_var, torch.ones(64))


def test_every_relu_is_called_once_a_pass():
    model, calls = resnet50(10, cifar_stem=True).eval(), []
    for name, module in model.named_modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    model(torch.zeros(1, 3, 32, 32))
    assert len(calls) == len(set(calls)) == 1 + 2 * 16


def test_weights_decide_on_classes_and_stem(tmp_path):
    small = resnet18(10, cifar_stem=True)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in small.state_dict().items()}},
        tmp_path / "w.pth",
    )
    for spec in ("resnet18", "resnet18:cifar"):
        model = load_model(spec, tmp_path / "w.pth")
        assert model.conv1.stride == (1, 1)
        assert isinstance(model.maxpool, nn.Identity)
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
        assert all(torch.equal(value, small.state_dict()[name]) for name, value in model.state_dict().items())


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(resnet18(7).state_dict(), tmp_path / "w.safetensors")
    assert load_model("resnet18", tmp_path / "w.safetensors").fc.out_features == 7
    with pytest.raises(WeightsError, match="missing: "):
        load_model("resnet50", tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"conv1.weight \(file \[64, 3, 7, 7\], model \[64, 3, 3, 3\]\)"):
        load_model("resnet18:cifar", tmp_path / "w.safetensors")


def test_without_weights_the_name_alone_is_no_model():
    with pytest.raises(ModelError, match=r"give --weights FILE or --weights hf:REPO .*resnet50\(\)"):
        load_model("resnet50")
