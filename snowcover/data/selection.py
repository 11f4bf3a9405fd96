"""Which bands of a tile are the ones that the config names. Pure."""

from collections.abc import Sequence

from snowcover.data.bands import ALPHA
from snowcover.errors import UserError


class WrongBands(UserError):
    """An image tile does not have the bands that the config names."""


def band_numbers(uri: str, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Numbers, from 1, of the wanted bands: by the names in the file; by their order where it names none.

    Args:
        uri: named in errors.
        names: of the file's bands, as `names_in_file` gives them; an alpha band is none of the data's.
        wanted: canonical names.

    Raises:
        WrongBands: the file names its bands and a wanted one is not among them, or is there twice; or it names none and
            has more or fewer than are wanted.
    """
    data = [number for number, name in enumerate(names, start=1) if name != ALPHA]
    if not any(names[number - 1] for number in data):
        if len(data) != len(wanted):
            raise WrongBands(
                f"{uri} has {len(data)} band{'s' if len(data) != 1 else ''}, data.bands names {len(wanted)} "
                f"({', '.join(wanted)}): give the bands that the tiles have."
            )
        return data
    if missing := [name for name in wanted if name not in names]:
        raise WrongBands(
            f"{uri} says that its bands are {_text(names)}, and data.bands names {', '.join(missing)}: give data.bands "
            "by the names in the file, or correct these (rio edit-info, or gdal_edit.py -colorinterp_1 ...)."
        )
    if twice := [name for name in wanted if list(names).count(name) > 1]:
        raise WrongBands(f"{uri} says that its bands are {_text(names)}: name only one of them {twice[0]}.")
    return [list(names).index(name) + 1 for name in wanted]


def _text(names: Sequence[str]) -> str:
    return ", ".join(name or "(no name)" for name in names)
