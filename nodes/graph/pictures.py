"""What comes in as IMAGE and MASK: read as float32 in 0..1, or refused in one sentence that names the cause."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import comfy.utils
import torch
from torch import Tensor

from ...uso_model.errors import UserError
from .convert import filled_outside, rgb_and_alpha

__all__ = ["check_finite", "check_images", "one_batch", "read_mask", "visible_part", "warn_if_empty"]

logger = logging.getLogger(__name__)

_CHANNELS = (1, 3, 4)
_MAKER = "the node that makes it"

_NOTHING_LEFT = {
    "style": "SigLIP sees only grey and no style is left: cover what has the style",
    "content": "the whole subject is painted over: cover the subject",
    "style_region": "the style counts nowhere: cover where it is to count",
    "content_region": "the subject counts nowhere: cover where it is to count",
}
_LOAD_IMAGE = (
    "Load Image gives a mask of 0 for a picture without transparency, so take that wire away, and 1 where a picture is "
    "transparent, so put Invert Mask between."
)


def check_images(image: Tensor, role: str) -> None:
    """Check that an IMAGE is a batch of pictures `b h w c` of more than a pixel, in RGB, RGBA or grey.

    Raises:
        UserError: for another number of dimensions or channels, an empty batch, a picture under 2 x 2 pixels, values
            that are no numbers of a picture, NaN or infinity.
    """
    if image.ndim != 4:
        raise UserError(
            f"Got a {role} image of shape {tuple(image.shape)}, expected 4 dimensions (pictures, height, width, "
            f"channels): check {_MAKER}."
        )
    if image.shape[0] == 0:
        raise UserError(
            f"Got an empty batch as {role} image, expected at least one picture: connect a Load Image node "
            "or check the node that makes the batch."
        )
    _, height, width, channels = image.shape
    if channels not in _CHANNELS:
        cure = "keep only its colours, for example with the Split Image with Alpha node"
        if image.shape[1] in _CHANNELS:
            cure = f"its shape {tuple(image.shape)} has the channels second, so check {_MAKER}"
        raise UserError(
            f"Got a {role} image with {channels} channels, expected 3 (RGB), 4 (RGB and alpha) or 1 (grey): {cure}."
        )
    if min(height, width) < 2:
        raise UserError(
            f"Got a {role} image of {width}x{height} pixels, expected a picture: use one with at least 16 "
            "pixels on each side."
        )
    _check_dtype(image, f"a {role} image")
    check_finite(image, f"a {role} image", _MAKER)


def read_mask(mask: Tensor, pictures: int | None, role: str) -> Tensor:
    """Return a MASK as `b h w`, float32 in 0..1.

    Args:
        mask: `h w`, `b h w`, `b 1 h w` or `b h w 1`, in any precision.
        pictures: of the batch that it is laid over; None: any number.
        role: name for messages.

    Raises:
        UserError: if it holds nothing, has another shape, is neither one mask nor one per picture, or holds values that
            are no numbers of a mask, NaN or infinity.
    """
    shape = tuple(mask.shape)
    if mask.ndim < 1 or mask.numel() == 0:
        raise UserError(f"Got an empty mask of shape {shape} for {role}, expected at least one pixel: check {_MAKER}.")
    if mask.ndim == 2:
        mask = mask[None]
    elif mask.ndim == 4 and 1 in (mask.shape[1], mask.shape[3]):
        mask = mask.squeeze(1 if mask.shape[1] == 1 else 3)
    # Many masks one, three or four pixels wide are one mask, or one picture, with its channels behind: `h w c`.
    most = {1: 1, 3: 4, 4: 4}.get(mask.shape[-1])
    if mask.ndim != 3 or (most is not None and min(mask.shape[:2]) > most):
        raise UserError(
            f"Got a mask of shape {shape} for {role}, expected (masks, height, width): make a mask of it, for example "
            "with the Convert Image to Mask node."
        )
    if pictures is not None and mask.shape[0] not in (1, pictures):
        raise UserError(
            f"Got {mask.shape[0]} masks for {pictures} {role} images, expected one mask or one per image: make the "
            "batches equally long."
        )
    _check_dtype(mask, f"a mask for {role}")
    check_finite(mask, f"a mask for {role}", _MAKER)
    if mask.dtype == torch.uint8 and mask.max() > 1:
        return mask.float() / 255
    return _floats(mask).clamp(0, 1).float()


def visible_part(image: Tensor, mask: Tensor | None, role: str, grey: float) -> Tensor:
    """Return the pictures of an IMAGE as RGB `b h w 3`, float32 in 0..1, faded to a grey outside their mask.

    Args:
        image: in any precision; grey pictures become RGB.
        mask: where a picture counts; None: its alpha says so, if it has one. The colours of transparent pixels count
            like all others where a mask is given, and fade with their alpha where none is.
        role: `style` or `content`.
        grey: what stands outside.

    Raises:
        UserError: the pictures or the mask cannot be read.
    """
    check_images(image, role)
    rgb, alpha = rgb_and_alpha(image)
    shown = alpha if mask is None else read_mask(mask, image.shape[0], role)
    if shown is None:
        return rgb
    warn_if_empty(shown, "an alpha channel" if mask is None else "a mask", role)
    return filled_outside(rgb, shown, grey)


def one_batch(images: Sequence[Tensor]) -> Tensor:
    """Return pictures `1 h w c` as one batch; other sizes are fitted to the first one's, as by ComfyUI's Batch Images.

    Where channels differ, all become RGB.
    """
    if len({image.shape[-1] for image in images}) > 1:
        images = [rgb_and_alpha(image)[0] for image in images]
    height, width = images[0].shape[1:3]
    fitted = [
        image
        if image.shape[1:3] == (height, width)
        else comfy.utils.common_upscale(image.movedim(-1, 1), width, height, "bilinear", "center").movedim(1, -1)
        for image in images
    ]
    return torch.cat([image.to(fitted[0]) for image in fitted])


def warn_if_empty(mask: Tensor, what: str, role: str) -> None:
    """Log one warning if masks `b h w` leave nothing of a reference.

    Args:
        mask: as `read_mask` returns it. A region may leave the reference out of some pictures of a batch.
        what: `a mask` or `an alpha channel`.
        role: `style`, `content`, `style_region` or `content_region`.
    """
    empty = int((mask.flatten(1).amax(dim=1) == 0).sum())
    if empty == 0 or (role.endswith("_region") and empty < len(mask)):
        return
    share = "" if empty == len(mask) else f" in {empty} of {len(mask)} pictures"
    left = _NOTHING_LEFT[role]
    logger.warning("Got %s for %s that is 0 everywhere%s, so %s. %s", what, role, share, left, _LOAD_IMAGE)


def check_finite(tensor: Tensor, what: str, where: str) -> None:
    """Check that a tensor holds numbers.

    Raises:
        UserError: for NaN or infinity.
    """
    if not _floats(tensor).isfinite().all():
        raise UserError(f"Got {what} with NaN or infinite values, expected numbers: check {where}.")


def _check_dtype(tensor: Tensor, what: str) -> None:
    if not (tensor.is_floating_point() or tensor.dtype in (torch.uint8, torch.bool)):
        raise UserError(
            f"Got {what} of {str(tensor.dtype).removeprefix('torch.')} values, expected floating point from 0 to 1, or "
            f"bytes: check {_MAKER}."
        )


def _floats(tensor: Tensor) -> Tensor:
    """Return at least float32; float64 stays, because float32 has no place for its largest values."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
