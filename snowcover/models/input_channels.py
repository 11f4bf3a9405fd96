"""Encoder weights learnt on other images, fitted to the bands of a satellite by name. Pure."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

RGB = ("red", "green", "blue")
_HEADS = ("fc.", "last_linear.", "classifier.", "head.")  # of classifiers, which an encoder does not have
_WRAPPED_BY = ("", "model.")  # smp wraps timm's networks


def adapt_input_channels(weight: Tensor, bands: Sequence[str], learnt_on: Sequence[str] = RGB) -> Tensor:
    """Lay filters [O, len(learnt_on), kh, kw] onto named bands: red on red; a band unknown to them gets their mean.

    Where all bands are known, the filters are taken as they are. Else the result [O, len(bands), kh, kw] is scaled by
    len(learnt_on) / len(bands): bands rise and fall together over snow, rock and shade, so a pixel that is equally
    bright in all of them must excite a filter as much as it did (and does so exactly where all of `learnt_on` are
    there), or the encoder's normalisation layers, learnt together with the filters, would no longer fit.

    Raises:
        ValueError: filters of another number of channels.
    """
    if weight.ndim != 4 or weight.shape[1] != len(learnt_on):
        raise ValueError(
            f"Filters of shape [O, {len(learnt_on)}, kh, kw] can be laid onto bands, got {list(weight.shape)}."
        )
    by_band = dict(zip(learnt_on, weight.unbind(dim=1), strict=True))
    mean = weight.mean(dim=1)
    laid = torch.stack([by_band.get(band, mean) for band in bands], dim=1)
    return laid if by_band.keys() >= set(bands) else laid * (len(learnt_on) / len(bands))


def load_encoder_weights(
    encoder: nn.Module, state: Mapping[str, Tensor], bands: Sequence[str], learnt_on: Sequence[str] = RGB,
    layers: int = 0,
) -> None:  # fmt: skip
    """Load weights into an encoder of len(bands) + `layers` input channels, in place.

    The filters that read the image are laid onto the bands, and are 0 for the layers behind them: these do not rise and
    fall with the bands, so the encoder begins by what it has learnt of images, and learns what layers say. All else is
    loaded as it is; a classifier's head in `state` is left out, and what else its network had besides an encoder (see
    `of_encoder`).

    Raises:
        ValueError: lists every key that is missing, unknown or of another shape.
    """
    own = encoder.state_dict()
    given = of_encoder(state, own)
    adapted = {key: value for key, value in given.items() if key in own or not _is_head(key)}
    for key in _reading_image(adapted, own, len(bands) + layers, len(learnt_on)):
        laid = adapt_input_channels(adapted[key], bands, learnt_on)
        adapted[key] = torch.cat([laid, laid.new_zeros(len(laid), layers, *laid.shape[2:])], dim=1) if layers else laid
    if mismatches := _mismatches(own, adapted):
        raise ValueError(f"These weights do not fit {type(encoder).__name__}: {'; '.join(mismatches)}.")
    encoder.load_state_dict({**own, **adapted})


def of_encoder(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an encoder by the names that it has itself, from the file of whatever network it was a part of.

    timm's and torchgeo's files hold a backbone by itself, their trainers' below `model.backbone.` or `model.encoder.`,
    smp's networks below `encoder.`, one trained by DataParallel below `module.`: of all beginnings of names the one
    counts under which most of the encoder's own are found; what is not below it belonged to something else.
    """

    def found(before: str, wrapped: str) -> int:
        names = (f"{before}{key.removeprefix(wrapped)}" for key in own if key.startswith(wrapped))
        return sum(name in state for name in names)

    pairs = [(before, wrapped) for before in _beginnings(state) for wrapped in _WRAPPED_BY]
    before, wrapped = max(pairs, key=lambda pair: (found(*pair), -len(pair[0]) - len(pair[1])))
    return {wrapped + key[len(before) :]: value for key, value in state.items() if key.startswith(before)}


def _beginnings(state: Mapping[str, Tensor]) -> set[str]:
    parts = [key.split(".") for key in state]
    return {"".join(f"{part}." for part in names[:depth]) for names in parts for depth in range(min(4, len(names)))}


def _is_head(key: str) -> bool:
    return key.removeprefix("model.").startswith(_HEADS)


def _reading_image(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], channels: int, learnt_on: int
) -> Iterator[str]:
    """Names of the filters that read the image: of as many channels there as it has here.

    Where both have as many, filters deep inside a network of grouped convolutions look the same: it is the first then.
    """
    alike = [
        key
        for key, value in own.items()
        if key in given and value.ndim == given[key].ndim == 4
        if (given[key].shape[1], value.shape[1]) == (learnt_on, channels)
    ]
    yield from alike[:1] if learnt_on == channels else alike


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
