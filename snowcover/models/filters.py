"""Filters learnt on RGB photographs, laid onto the bands of a satellite. Pure."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

RGB = ("red", "green", "blue")
_HEADS = ("fc.", "last_linear.", "classifier.", "head.")  # of classifiers, which an encoder does not have


def lay_filters(weight: Tensor, bands: Sequence[str]) -> Tensor:
    """Lay RGB filters [O, 3, kh, kw] onto named bands: red on red; a band of no such colour gets their mean.

    The result [O, len(bands), kh, kw] is scaled by 3 / len(bands): bands rise and fall together over snow, rock
    and shade, so a pixel that is equally bright in all of them must excite a filter as much as it did in RGB
    (and does so exactly where red, green and blue are all there), or the encoder's normalisation layers, learnt
    together with the filters, would no longer fit. Raises ValueError for filters that are not of three channels.
    """
    if weight.ndim != 4 or weight.shape[1] != len(RGB):
        raise ValueError(f"Filters of shape [O, 3, kh, kw] can be laid onto bands, got {list(weight.shape)}.")
    by_band = dict(zip(RGB, weight.unbind(dim=1), strict=True))
    mean = weight.mean(dim=1)
    laid = torch.stack([by_band.get(band, mean) for band in bands], dim=1)
    return laid * (len(RGB) / len(bands))


def load_encoder_weights(encoder: nn.Module, state: Mapping[str, Tensor], bands: Sequence[str]) -> None:
    """Load weights learnt on RGB into an encoder of len(bands) input channels, in place.

    The filters that read the image are laid onto the bands, all else is loaded as it is; a classifier's head
    in `state` is left out. Raises ValueError that lists every key that is missing, unknown or of another shape.
    """
    own = encoder.state_dict()
    adapted = {key: value for key, value in state.items() if key in own or not key.startswith(_HEADS)}
    for key, value in adapted.items():
        if key in own and _reads_image(value, own[key], len(bands)):
            adapted[key] = lay_filters(value, bands)
    if mismatches := _mismatches(own, adapted):
        raise ValueError(f"These weights do not fit {type(encoder).__name__}: {'; '.join(mismatches)}.")
    encoder.load_state_dict({**own, **adapted})


def _reads_image(given: Tensor, own: Tensor, bands: int) -> bool:
    return given.ndim == 4 and given.shape[1] == len(RGB) and own.ndim == 4 and own.shape[1] == bands


def _mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    # files older than torch 0.4.1 have no count of batches, and no layer here uses it
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    missing = [f"{key} is missing" for key in needed if key not in given]
    unknown = [f"{key} is unknown" for key in given if key not in own]
    shapes = [
        f"{key} is {list(given[key].shape)} and not {list(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    return missing + unknown + shapes
