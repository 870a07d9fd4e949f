"""A directory with a map of models: numbers, the tree, figures, and an index of all of them.

    DIR/index.json              what is here, how it was made, and hashes
    DIR/similarity.csv          cosines, [model, model]
    DIR/distances.csv           how unlike their rows are, which the tree joins by
    DIR/nearest.csv             the nearest models of each
    DIR/map.npz                 all numbers
    DIR/tree.nwk                the tree, in Newick's format
    DIR/tree.svg, tree.png      the tree beside the distances
    DIR/plane.svg, plane.png    the models in two dimensions

The index goes first and comes last: a directory with one is whole. Where there are too many models
for a matrix, there are the nearest ones, the numbers and the plane.
"""

from __future__ import annotations

from pathlib import Path

from onnxattr.cli.folder import INDEX, Writer, told
from onnxattr.types import MapFile, ModelMap


def fill(folder: Path, result: ModelMap) -> list[MapFile]:
    """Writes all that there is of a map into `folder`, and returns what was written.

    Args:
        folder: From `check_folder`; made if it is not there.
        result: What to write.

    Raises:
        UsageError: A file cannot be written; there is no index then.
    """
    from onnxattr.report.delimited import matrix_csv, nearest_csv
    from onnxattr.report.index import to_map_index

    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
    writer = Writer(folder)
    method = str(result.settings["method"])

    def write(path: str, kind: str, data: str | bytes) -> None:
        with writer.open(path) as file:
            file.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
        writer.keep(path, kind, "", [method], "")

    names = [model.name for model in result.models]
    if result.leaves:
        write("similarity.csv", "matrix", matrix_csv(names, result.similarity.matrix, "source"))
        write("distances.csv", "matrix", matrix_csv(names, result.distances, "model"))
    write("nearest.csv", "nearest", nearest_csv(result))
    with writer.open("map.npz") as file:
        _save(file, result)
    writer.keep("map.npz", "arrays", "", [method], "")
    from onnxattr.report.figure import to_svg
    from onnxattr.report.map_figures import plane_figure, tree_figure
    from onnxattr.report.raster import figure_png

    about = {"method": method, "linkage": result.linkage}
    figures = {"plane": plane_figure}
    if result.leaves:
        write("tree.nwk", "tree", result.newick + "\n")
        figures = {"tree": tree_figure, **figures}
    for name, draw in figures.items():
        figure = draw(result)
        write(f"{name}.svg", "figure", to_svg(figure))
        write(f"{name}.png", "figure", figure_png(figure, about))
    with writer.open(INDEX) as file:
        file.write(to_map_index(result, writer.files).encode("utf-8", "backslashreplace"))
    return writer.files


def _save(file: object, result: ModelMap) -> None:
    """Writes all numbers, with the tree as SciPy has it."""
    import numpy as np

    from onnxattr.sanitise import MAX_TEXT, clean

    names = [clean(model.name, MAX_TEXT) for model in result.models]
    place = {model.name: number for number, model in enumerate(result.models)}
    most = max((len(near) for near in result.nearest), default=0)
    nearest = np.full((len(names), most), -1, np.int64)
    cosines = np.full((len(names), most), np.nan)
    for number, near in enumerate(result.nearest):
        nearest[number, : len(near)] = [place[one.name] for one in near]
        cosines[number, : len(near)] = [one.similarity for one in near]
    arrays = {
        "names": np.array(names),
        "nearest": nearest,
        "nearest_similarity": cosines,
        "points": result.points,
        "kept": np.array(result.kept),
    }
    if result.leaves:
        joins = [(*sorted((j.first, j.second)), j.distance, j.size) for j in result.joins]
        arrays |= {
            "similarity": result.similarity.matrix,
            "distances": result.distances,
            "merges": np.array(joins, np.float64),
            "leaves": np.array(result.leaves, np.int64),
            "clusters": np.array(result.clusters, np.int64),
        }
    np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]
