import imagehash
import numpy as np
import pytest
import scipy.fftpack
import torch
from PIL import Image

from prunebook import phash
from prunebook.errors import BadValue


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def literal_hash(m: np.ndarray) -> np.ndarray:
    """The definition, one map at a time, by another library's DCT."""
    low = scipy.fftpack.dct(scipy.fftpack.dct(m.astype(np.float64), axis=0), axis=1)[:8, :8]
    return (low >= low.mean()).flatten()


def awkward(n: int, h: int, w: int) -> torch.Tensor:
    """Random maps, and those that break hashes: constant, zero, one pixel, ramps, two-valued, symmetric."""
    m = maps(2, n, h, w)
    m[0, 0], m[0, 1], m[0, 2] = 0, 5, -3
    m[0, 3] = 0
    m[0, 3, 0, 0] = 1
    m[1, 0] = torch.linspace(0, 1, h)[:, None]
    m[1, 1] = torch.linspace(0, 1, w)[None]
    m[1, 2] = (m[1, 2] > 0).float()
    m[1, 3] = m[1, 3] + m[1, 3].flip(0, 1)
    return m


def test_a_ramp_keeps_only_the_bit_of_its_mean():
    ramp = torch.arange(16.0)
    bits = phash.hashes((ramp[:, None] + ramp)[None, None])
    assert bits.shape == (1, 1, 64)
    assert bits.flatten().nonzero().flatten().tolist() == [0]


def test_a_map_of_four_pixels_has_four_bits():
    assert phash.hashes(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).int().tolist() == [[[1, 0, 0, 0]]]


def test_a_map_of_zeros_hashes_to_all_ones_and_a_large_mean_hides_the_pattern():
    pattern = maps(1, 1, 16, 16) * 0.01
    assert phash.hashes(torch.zeros(1, 1, 16, 16)).all()
    assert phash.hashes(pattern + 5).flatten().nonzero().flatten().tolist() == [0]


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 2), (4, 4), (3, 9), (8, 8), (16, 16), (32, 32), (40, 24)])
def test_dct_mean_equals_the_definition_written_out(h, w):
    m = maps(3, 5, h, w)
    expected = [[literal_hash(one) for one in image] for image in m.numpy()]
    assert phash.hashes(m).numpy().tolist() == np.array(expected).tolist()


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 31, 32, 33, 56])
@pytest.mark.parametrize("stretch", [(0, 0), (0, 2), (2, 0)])
def test_imagehash_kind_equals_the_library_bit_for_bit(size, stretch):
    m = awkward(6, size + stretch[0], size + stretch[1])
    pictures = phash.pictures(m).numpy()
    expected = [[imagehash.phash(Image.fromarray(one)).hash.flatten().tolist() for one in image] for image in pictures]
    assert phash.hashes(m, "imagehash").tolist() == expected


def test_pictures_stretch_each_map_from_black_to_white():
    m = torch.tensor([[[[-1.0, 0.0, 1.0]]], [[[2.0, 2.0, 2.0]]]])
    assert phash.pictures(m).flatten(1).tolist() == [[0, 128, 255], [0, 0, 0]]


def test_similarity_equals_one_minus_mean_hamming_over_bits():
    h = phash.hashes(maps(7, 6, 8, 8))
    s = phash.similarity(h)
    for i in range(6):
        for j in range(6):
            distances = [(h[t, i] != h[t, j]).double().mean() for t in range(7)]
            assert s[i, j].item() == pytest.approx(1 - float(sum(distances)) / 7, abs=1e-12)


def test_similarity_is_symmetric_in_the_unit_interval_with_ones_on_the_diagonal():
    s = phash.similarity(phash.hashes(maps(5, 12, 4, 4)))
    assert torch.equal(s, s.T)
    assert s.diagonal().tolist() == [1.0] * 12
    assert s.min() >= 0
    assert s.max() <= 1


def test_a_similarity_of_exactly_seven_tenths_equals_the_number_0_7():
    h = torch.ones(1, 2, 10, dtype=torch.bool)
    h[0, 1, :3] = False
    assert phash.similarity(h)[0, 1].item() == 0.7


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [
        (torch.zeros(2, 3, 4), "dct-mean", "maps.shape is (2, 3, 4)"),
        (torch.zeros(0, 3, 4, 4), "dct-mean", "maps.shape is (0, 3, 4, 4)"),
        (torch.full((1, 1, 2, 2), torch.nan), "dct-mean", "NaN or infinity"),
        (torch.zeros(1, 1, 2, 2), "dct-maen", "did you mean 'dct-mean'?"),
    ],
)
def test_bad_maps_and_kinds_are_refused_in_one_sentence(bad, kind, words):
    with pytest.raises(BadValue) as refusal:
        phash.hashes(bad, kind)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
