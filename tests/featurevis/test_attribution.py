"""Attribution: against captum and a plain loop, completeness, and a model that is left as it was."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from superscope.core.errors import InputError, ModelError
from superscope.core.random import generator
from superscope.featurevis import expected_gradients, integrated_gradients


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(48, 8),
        nn.ReLU(), nn.Linear(8, 4),
    )  # fmt: skip
    draw = generator(0, "network")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / parameter[0].numel() ** 0.5)
    return model.to(dtype).eval()


def images(count: int = 3, name: str = "images") -> Tensor:
    return torch.rand(count, 1, 6, 6, generator=generator(0, name), dtype=torch.float64)


@pytest.mark.parametrize("method", ["gauss-legendre", "midpoint"])
@pytest.mark.parametrize("with_baselines", [False, True])
def test_integrated_gradients_are_captums(method, with_baselines):
    from captum.attr import IntegratedGradients

    model, x, targets = network(), images(), torch.tensor([2, 0, 3])
    baselines = images(3, "baselines") if with_baselines else None
    made = integrated_gradients(model, x, targets, baselines=baselines, steps=20, method=method, batch_size=7)
    expected, delta = IntegratedGradients(model).attribute(
        x, 0 if baselines is None else baselines, targets, n_steps=20,
        method={"gauss-legendre": "gausslegendre", "midpoint": "riemann_middle"}[method],
        return_convergence_delta=True,
    )  # fmt: skip
    torch.testing.assert_close(made.values, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.convergence, delta, atol=1e-5, rtol=1e-5)


def test_the_trapezoid_is_a_plain_loops():
    model, x = network(), images(1)
    slopes = []
    for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
        point = (alpha * x).requires_grad_()
        slopes.append(torch.autograd.grad(model(point)[0, 1], point)[0])
    expected = x * (slopes[0] / 2 + slopes[1] + slopes[2] + slopes[3] + slopes[4] / 2) / 4
    torch.testing.assert_close(
        integrated_gradients(model, x, 1, steps=5, method="trapezoid").values, expected
    )


@pytest.mark.parametrize("method", ["gauss-legendre", "midpoint", "trapezoid"])
def test_the_values_add_up_to_the_logits_difference(method):
    model, x = network(), images()
    made = integrated_gradients(model, x, [0, 1, 2], steps=400, method=method)
    difference = (model(x) - model(torch.zeros_like(x)))[torch.arange(3), torch.arange(3)].detach()
    torch.testing.assert_close(made.values.flatten(1).sum(1), difference, atol=2e-3, rtol=0)
    torch.testing.assert_close(made.logits - made.baseline_logits, difference)
    torch.testing.assert_close(made.convergence, made.values.flatten(1).sum(1) - difference)


def test_a_linear_model_is_attributed_exactly():
    model, x = nn.Linear(5, 3).double(), torch.randn(4, 5, generator=generator(0), dtype=torch.float64)
    exact = model.weight[1].detach() * (x - 0.5)
    baseline = torch.full((5,), 0.5, dtype=torch.float64)
    made = integrated_gradients(model, x, 1, baselines=baseline, steps=1)
    torch.testing.assert_close(made.values, exact)
    assert made.convergence.abs().max() < 1e-12
    drawn = expected_gradients(model, x, 1, baseline[None], generator=generator(0), samples=4)
    torch.testing.assert_close(drawn.values, exact)
    assert drawn.standard_errors is not None
    assert drawn.standard_errors.max() < 1e-6


def test_only_what_differs_and_matters_gets_a_share():
    class Second(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 1] ** 2, x[:, 0] * x[:, 1]], 1)

    made = integrated_gradients(Second(), torch.tensor([[3.0, 2.0, 5.0], [1.0, 0.0, 2.0]]), 0, steps=4)
    torch.testing.assert_close(made.values, torch.tensor([[0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    product = integrated_gradients(Second(), torch.tensor([[3.0, 2.0, 5.0]]), 1, steps=4)
    torch.testing.assert_close(product.values, torch.tensor([[3.0, 3.0, 0.0]]))


def test_expected_gradients_are_the_mean_of_integrated_ones():
    model, x, background = network(), images(2), images(6, "background")
    made = expected_gradients(model, x, [1, 3], background, generator=generator(3), samples=4000)
    exact = torch.stack(
        [
            integrated_gradients(model, x, [1, 3], baselines=row, steps=64, method="midpoint").values
            for row in background
        ]
    ).mean(0)
    assert made.standard_errors is not None
    assert made.convergence_error is not None
    z = (made.values - exact) / made.standard_errors
    assert z.abs().max() < 4.5
    assert 0.7 < z.square().mean().sqrt() < 1.35  # the standard errors are as large as the errors
    assert (made.convergence.abs() < 4.5 * made.convergence_error).all()
    torch.testing.assert_close(made.baseline_logits, model(background).mean(0)[[1, 3]].detach())


def test_expected_gradients_standard_errors_are_a_plain_loops():
    model, x, background = network(), images(1), images(4, "background")
    made = expected_gradients(model, x, 2, background, generator=generator(5), samples=9)
    draw = generator(5)
    rows = torch.randint(4, (1, 9), generator=draw)[0]
    alphas = torch.rand((1, 9), generator=draw)[0]
    shares = []
    for row, alpha in zip(rows, alphas, strict=True):
        baseline = background[row][None]
        point = (baseline + alpha.double() * (x - baseline)).requires_grad_()
        shares.append((x - baseline) * torch.autograd.grad(model(point)[0, 2], point)[0])
    stack = torch.stack(shares)
    torch.testing.assert_close(made.values, stack.mean(0))
    torch.testing.assert_close(made.standard_errors, stack.std(0) / 3)
    torch.testing.assert_close(made.convergence_error, stack.flatten(1).sum(1).std()[None] / 3)
    single = expected_gradients(model, x, 2, background, generator=generator(5), samples=1)
    assert single.standard_errors is not None
    assert single.standard_errors.isnan().all()


def test_the_batch_size_changes_nothing_and_a_seed_gives_the_same_bits():
    model, x, background = network(), images(), images(5, "background")
    for size in (1, 5, 1000):
        torch.testing.assert_close(
            integrated_gradients(model, x, 0, steps=8, batch_size=size).values,
            integrated_gradients(model, x, 0, steps=8).values,
        )
        torch.testing.assert_close(
            expected_gradients(
                model, x, 0, background, generator=generator(1), samples=8, batch_size=size
            ).values,
            expected_gradients(model, x, 0, background, generator=generator(1), samples=8).values,
        )
    first, again = (
        expected_gradients(model, x, 0, background, generator=generator(1), samples=8) for _ in range(2)
    )
    assert torch.equal(first.values, again.values)


def test_the_model_is_left_as_it_was():
    model = network()
    model.train()
    model[1].eval()
    model[7].weight.requires_grad_(False)  # noqa: FBT003
    model[7].bias.grad = torch.ones(4, dtype=torch.float64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        integrated_gradients(model, images(), 0, steps=3)
    with pytest.raises(InputError):
        integrated_gradients(model, images(), 9, steps=3)
    assert [module.training for module in model] == [True, False, *[True] * 6]
    assert [p.requires_grad for p in model.parameters()] == [*[True] * 6, False, True]
    assert [p.grad is not None for p in model.parameters()] == [*[False] * 7, True]
    assert torch.equal(model[7].bias.grad, torch.ones(4, dtype=torch.float64))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


def test_attribution_works_under_inference_mode_and_with_inputs_that_want_gradients():
    model, x = network(), images()
    expected = integrated_gradients(model, x, 0, steps=3).values
    with torch.inference_mode():
        torch.testing.assert_close(integrated_gradients(model, x, 0, steps=3).values, expected)
    made = integrated_gradients(model, x.clone().requires_grad_(), 0, steps=3)
    assert not made.values.requires_grad
    torch.testing.assert_close(made.values, expected)


def test_half_precision_inputs_are_added_up_in_more():
    model = network(torch.bfloat16)
    made = integrated_gradients(model, images().float(), 0, steps=64)
    assert made.values.dtype == torch.float32
    expected = integrated_gradients(network(), images(), 0, steps=64).values.float()
    assert (made.values - expected).abs().max() < 0.05 * expected.abs().max()


def test_outputs_with_logits_are_read():
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.inner(x))

    torch.testing.assert_close(
        integrated_gradients(Wrapped(), images(), 1, steps=3).values,
        integrated_gradients(network(), images(), 1, steps=3).values,
    )


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (4, "target 4 is no class of 4 logits; give 0 to 3"),
        ([0, -1, 2], "target -1 is no class"),
        ([0, 1], r"of the shape \[2\] for 3 samples"),
        ([0, 1, 2, 3], r"of the shape \[4\]"),
    ],
)
def test_targets_that_are_no_classes_are_refused(targets, message):
    with pytest.raises(InputError, match=message):
        integrated_gradients(network(), images(), targets, steps=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1, "method": "trapezoid"}, "a trapezoid needs 2"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"baselines": torch.zeros(2, 1, 6, 6)}, r"baselines has the shape \[2, 1, 6, 6\]"),
    ],
)
def test_what_cannot_be_integrated_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        integrated_gradients(network(), images(), 0, **arguments)


def test_backgrounds_that_do_not_fit_are_refused():
    for background in (torch.zeros(3, 1, 5, 6), torch.zeros(0, 1, 6, 6)):
        with pytest.raises(InputError, match="background"):
            expected_gradients(network(), images(), 0, background, generator=generator(0))
    with pytest.raises(InputError, match="samples is 0"):
        expected_gradients(network(), images(), 0, images(), generator=generator(0), samples=0)


def test_values_that_are_not_finite_are_named():
    x = images()
    x[1, 0, 2, 2] = torch.nan
    with pytest.raises(ModelError, match="a logit on the way to sample 1 is not finite"):
        integrated_gradients(network(), x, 0)

    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    with pytest.raises(ModelError, match="a gradient on the way to sample 0 is not finite"):
        integrated_gradients(Root(), torch.ones(1, 2), 0, method="trapezoid")


def test_models_without_logits_or_gradients_are_refused():
    with pytest.raises(ModelError, match=r"Conv2d returns \[3, 2, 4, 4\] for 3 samples"):
        integrated_gradients(nn.Conv2d(1, 2, 3).double(), images(), 0)

    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.one_hot(x.flatten(1).argmax(1), 36).double()

    with pytest.raises(ModelError, match="do not depend on its inputs by gradients"):
        integrated_gradients(Rounded(), images(), 0)
    with pytest.raises(InputError, match=r"torch.int64 of the shape \[0, 3\]|floating"):
        integrated_gradients(nn.Linear(3, 2), torch.zeros(0, 3), 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_on_a_graphics_card_gets_what_it_gets_on_the_processor():
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), torch.randn(4, 6)
    on_processor = integrated_gradients(model, inputs, [0, 1, 2, 0])
    on_card = integrated_gradients(model.cuda(), inputs, [0, 1, 2, 0])
    torch.testing.assert_close(on_card.values, on_processor.values, rtol=1e-4, atol=1e-5)
