"""Results as pages of HTML: one file each, which fetches nothing and reads well without a script.

`blocks` has what pages are made of, `page.render` makes one of it, `sections` and `spaces` have the
parts that pages share. A new kind of page is one module that returns a `blocks.Page`.
"""

from onnxattr.types import Attributions, Audit, Comparison, ModelMap, Ranking

Reported = Ranking | Comparison | ModelMap | Attributions | Audit


def to_html(result: Reported, command: str = "") -> str:
    """Returns a result as one page of HTML that is whole in itself.

    It fetches nothing, and a content-security policy in it forbids that anything does. The result
    as JSON is in the element with the id `result`.

    Args:
        result: What `rank`, `compare`, `map_models`, `attribute_many` or `audit` returned.
        command: The command line that made it, to be shown.

    Example:
        >>> import onnxattr
        >>> options = onnxattr.Options(limit=4)
        >>> result = onnxattr.rank("samples/models/edge2d-*.onnx", options=options)
        >>> page = onnxattr.to_html(result)
        >>> page.startswith("<!doctype html>"), "https://" in page
        (True, False)
    """
    from onnxattr.report.html import attributions, auditing, comparison, mapping, ranking
    from onnxattr.report.html.page import render

    if isinstance(result, Ranking):
        page = ranking.page(result, command)
    elif isinstance(result, Comparison):
        page = comparison.page(result, command)
    elif isinstance(result, ModelMap):
        page = mapping.page(result, command)
    elif isinstance(result, Audit):
        page = auditing.page(result, command)
    else:
        page = attributions.page(result, command)
    return render(page)
