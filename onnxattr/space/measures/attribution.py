"""Cosines of attribution maps: the measure of Song et al. 2019."""

from dataclasses import dataclass

from onnxattr.arrays import Float32, Float64
from onnxattr.errors import InputError
from onnxattr.space.measures.evidence import Evidence, same_probes
from onnxattr.space.similarity import similarity


@dataclass(frozen=True, eq=False)
class Mapped:
    """A model's maps, [probe, …], and whether their mean is to be removed."""

    maps: Float32
    centred: bool


def prepare(evidence: Evidence, *, centred: bool = True) -> Mapped:
    """Returns a model's maps.

    Args:
        evidence: Of a model, with its maps.
        centred: Remove the mean over the probes first; False is the paper's arithmetic.

    Raises:
        InputError: The maps are missing.
    """
    if evidence.maps is None:
        raise InputError(
            f"`attribution` compares models by their maps, and `{evidence.name}` has none",
            model=evidence.name,
        )
    return Mapped(evidence.maps, centred)


def compare(source: Mapped, target: Mapped) -> Float64:
    """Returns the cosine of the two maps of each probe, −1..1, [probe].

    Song et al. 2019; symmetric. NaN where a map is zero or not finite. For many models at once,
    `similarity` and `blocks` do the same work once a model and not once a pair.
    """
    same_probes(len(source.maps), len(target.maps))
    images = source.maps.ndim == 3
    result = similarity([source.maps, target.maps], ["", ""], centred=source.centred, images=images)
    values: Float64 = result.per_probe[0, 1]
    return values
