"""What is doubtful of a set of probes, in words."""

from onnxattr.space.probe_set import Fault, faults
from onnxattr.types import IMAGE, TOKENS, Probes

#: Fewer probes than these leave intervals that are far too narrow.
FEW_PROBES = 10

#: Names that a line lists.
_LISTED = 3


def probe_warnings(probes: Probes) -> list[str]:
    """Returns what is wrong with a set of probes, a line each; nothing of a good one.

    Whether models have ever seen the like, the probes themselves cannot tell.
    """
    found = faults(probes.values, images=probes.kind == IMAGE)
    # Numbers of tokens are names: that they rise and fall together means nothing.
    if probes.kind == TOKENS:
        found = tuple(fault for fault in found if fault.kind != "uniform")
    return [line for fault in found if (line := _line(fault, probes))]


def _line(fault: Fault, probes: Probes) -> str:
    count = len(probes.values)
    if fault.kind == "few":
        # Fewer still are told of elsewhere: their intervals are wrong, too.
        if count < FEW_PROBES:
            return ""
        other = f"{count} probes are" if fault.value == count else f"{fault.value:.0f} probes that "
        other = other if fault.value == count else other + "are no copies of others are"
        return f"{other} few: with fewer than {fault.limit:.0f} most rankings stay undecided"
    if fault.kind == "noise":
        return (
            "the probes look like noise: their power falls with the frequency to the "
            f"{fault.value:.1f}, that of natural images with its square"
        )
    if fault.kind == "uniform":
        return (
            f"the probes are much alike: half of their pairs correlate above {fault.value:.2f}, "
            f"and those of a varied set below {fault.limit:.1f}"
        )
    noun = "1 probe is" if fault.value == 1 else f"{fault.value:.0f} probes are"
    what = "of one value everywhere" if fault.kind == "blank" else "no more than a copy of another"
    return f"{noun} {what}: {_names(fault, probes)}"


def _names(fault: Fault, probes: Probes) -> str:
    names = [f"`{probes.names[number]}`" for number in fault.probes[:_LISTED]]
    more = len(fault.probes) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
