import pytest
import torch
from torch import nn

from superscope.core import ConfigError, checked, generator, open_run
from superscope.core.artifacts import tensor_hashes
from superscope.data import shipped_words
from superscope.data.affixes import AffixWords
from superscope.models import AffixNetwork
from superscope.recipes import affix_training
from superscope.recipes.affix_training import AffixConfig, confusions, joined_accuracy, train_networks

WORDS = shipped_words()
SMALL = AffixWords(WORDS.words[::9], WORDS.roots[::9], WORDS.labels[::9])
OPTIONS = AffixConfig(seeds=(3, 8), widths=(2, 4), epochs=2, restarts=2)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    run = open_run("test", OPTIONS, tmp_path_factory.mktemp("affix") / "run")
    return train_networks(run, "some", OPTIONS, SMALL)


def test_narrow_layers_are_filled_up_with_zeros(networks):
    assert networks.W.shape == networks.means.shape == (2, 2, 4, 5)
    assert not networks.W[:, 0, 2:].any()
    assert networks.W[:, 0, :2].all()
    assert networks.W[:, 1].all()
    assert torch.equal(networks.at(networks.W, 4), networks.W[:, 1])
    test, classes, dual = networks.hidden
    assert test.shape == (len(classes), 2)
    assert dual.shape == (len(SMALL.carrying(2).words), 2)
    assert len(classes) == round(0.2 * len(SMALL.carrying(1).words))


def test_scores_are_those_of_the_answers(networks):
    labels = SMALL.carrying(2).labels
    for s in range(2):
        for w in range(2):
            hits = [bool(row[answer]) for row, answer in zip(labels, networks.answers[s, w], strict=True)]
            assert float(networks.dual[s, w]) == pytest.approx(sum(hits) / len(hits))
    test, classes, _ = networks.hidden
    logits = test @ networks.W[0, 0, :2] + networks.b[0, 0]
    assert float(networks.test[0, 0]) == pytest.approx(float((logits.argmax(1) == classes).float().mean()))
    for k in range(5):
        mine = test[classes == k]
        torch.testing.assert_close(networks.means[0, 0, :2, k], mine.sum(0) / max(len(mine), 1))


def test_the_start_with_the_lowest_training_loss_is_kept(networks, tmp_path):
    once = AffixConfig(seeds=(3,), widths=(2,), epochs=2, restarts=1)
    alone = train_networks(open_run("test", once, tmp_path / "run"), "some", once, SMALL)
    assert networks.loss[0, 0] <= alone.loss[0, 0]


def test_the_same_seed_gives_the_same_bits_whatever_else_is_trained(networks, tmp_path):
    options = AffixConfig(seeds=(8,), widths=(4,), epochs=2, restarts=2)
    torch.manual_seed(1)
    again = train_networks(open_run("test", options, tmp_path / "run"), "some", options, SMALL)
    first = {name: value[1:, 1:] for name, value in networks.tensors("x").items()}
    assert tensor_hashes(again.tensors("x")) == tensor_hashes(first)


def test_a_run_killed_in_its_third_stage_ends_with_the_bits_of_one_that_was_not(
    networks, tmp_path, monkeypatch
):
    trained = []
    train = affix_training.train_classifier

    def killed(*given, **options):
        trained.append(given)
        if len(trained) == 2 * OPTIONS.restarts + 1:
            raise KeyboardInterrupt
        return train(*given, **options)

    monkeypatch.setattr(affix_training, "train_classifier", killed)
    run = open_run("test", OPTIONS, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_networks(run, "some", OPTIONS, SMALL)
    again = train_networks(run, "some", OPTIONS, SMALL)
    assert tensor_hashes(again.tensors("x")) == tensor_hashes(networks.tensors("x"))
    assert len(trained) == 4 * OPTIONS.restarts + 1  # the two finished stages were not trained again


class Ideal(AffixNetwork):
    """Channels 0 to 4 are the affixes; the hidden layer and the read-out are given."""

    def __init__(self, hidden, readout):
        super().__init__(hidden.shape[0], channels=5, generator=generator(0))
        self.hidden.weight, self.output.weight = nn.Parameter(hidden), nn.Parameter(readout)
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.output.bias)


def rays(classes=5):
    """Directions in the quarter plane: each wins on its own ray, the middle one also between the outer."""
    angle = torch.arange(classes) / (classes - 1) * torch.pi / 2
    return torch.stack([angle.cos(), angle.sin()])


def test_joined_words_are_read_right_where_no_feature_shares_a_dimension():
    pooled, classes = torch.eye(5)[[0, 0, 1, 2, 3, 4]], torch.tensor([0, 0, 1, 2, 3, 4])
    assert joined_accuracy(Ideal(torch.eye(5), torch.eye(5)), pooled, classes) == 1.0


def test_joined_words_are_misread_in_the_plane():
    # two rays that are k apart sum to the one between them, or to a tie of neighbours when k is odd
    pooled, classes = torch.eye(5)[[0, 2, 4]], torch.tensor([0, 2, 4])
    network = Ideal(rays(), rays().T)
    assert joined_accuracy(network, pooled, classes) == 0.0
    neighbours = torch.eye(5)[[1, 2]] * torch.tensor([[2.0], [1.0]])
    assert joined_accuracy(network, neighbours, torch.tensor([1, 2])) == 1.0


def test_words_that_are_misread_alone_are_not_joined():
    pooled = torch.eye(5)[[0, 4, 2]]
    network = Ideal(rays(), rays().T)
    assert joined_accuracy(network, pooled, torch.tensor([0, 3, 1])) == 0.0  # one is left: no pair
    assert joined_accuracy(network, pooled[:2], torch.tensor([0, 4])) == 0.0  # read as the third, 2


def test_confusions_by_pair():
    labels = torch.tensor([[1, 0, 1, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=torch.bool)
    answers = torch.tensor([[0, 1, 3], [1, 2, 4]])
    assert confusions(answers, labels) == [
        {"affixes": "un- and -able", "words": 2, "accuracy": 0.5, "commonest wrong answer": "re-"},
        {"affixes": "-ful and -ness", "words": 1, "accuracy": 1.0, "commonest wrong answer": "none"},
    ]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"seeds": ()}, "seeds"),
        ({"widths": (2, 2)}, "a number that comes twice"),
        ({"widths": (0,)}, "widths"),
        ({"test_share": 1.0}, "test_share"),
        ({"lr": float("inf")}, "lr"),
    ],
)
def test_configs_with_faults(options, fault):
    with pytest.raises(ConfigError, match=fault):
        checked(AffixConfig(**options))
