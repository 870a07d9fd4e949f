"""`--measure`: a column each, what is said where there is none, and wrong names."""

import csv
import io

import pytest

SIX = ("--limit", "6")


def names(run, *arguments):
    return list(csv.DictReader(io.StringIO(run(*arguments, "-f", "csv").out)))


def test_a_target_has_two_measures_by_default(run, good):
    result = run("rank", good, *SIX, "--target", "edges-torch", "-f", "json")
    assert result.code == 0
    assert [m["measure"] for m in result.json["measures"]] == ["attribution", "predictability"]
    (source,) = result.json["targets"][0]["sources"]
    assert list(source["measures"]) == ["attribution", "predictability"]
    assert source["similarity"] == source["measures"]["attribution"]["value"]

    shown = run("rank", good, *SIX, "--target", "edges-torch").out
    assert "predictability" in shown
    assert "the measures disagree" in " ".join(shown.split())


def test_without_a_target_there_is_one(run, good):
    result = run("rank", good, *SIX, "-f", "json")
    assert [m["measure"] for m in result.json["measures"]] == ["attribution"]
    shown = run("rank", good, *SIX).out
    assert "cosine" in shown
    assert "measures" not in shown


def test_too_few_probes_cost_the_measure_alone(run, good):
    result = run("rank", good, "--limit", "3", "--target", "edges-torch")
    assert result.code == 0
    assert (
        "`predictability` is left out: 3 probes are too few, it takes 5 or more" in result.warnings
    )
    assert "predictability" not in result.out

    alone = run("rank", good, "--limit", "3", "--measure", "cka")
    assert alone.code == 3
    assert alone.errors == ["there is nothing to compare the models by: `cka` cannot be had"]
    assert "3 probes are too few" in alone.hints[0]


def test_a_column_each_in_flat_formats(run, good):
    rows = names(run, "rank", good, *SIX, "--measure", "rsa,attribution")
    assert {row["ordered_by"] for row in rows} == {"rsa"}
    for row in rows:
        assert row["similarity"] == row["rsa"]
        assert float(row["rsa_low"]) <= float(row["rsa"]) <= float(row["rsa_high"])
        assert row["rsa_rank"] == row["rank"]
        assert row["rsa_tied"] == row["tied"]
        assert row["attribution_tied"] in ("true", "false")
        assert -1 <= float(row["attribution"]) <= 1
        assert row["disputed"] in ("true", "false")
    plain = names(run, "rank", good, *SIX)
    assert not {"ordered_by", "disputed", "rsa", "attribution"} & plain[0].keys()
    header = run("rank", good, *SIX, "--measure", "rsa", "-f", "markdown").out.splitlines()[0]
    assert "| rsa | rsa\\_low |".replace("\\", "") in header


def test_fields_and_units_without_maps(run, good):
    """A column each, and no parity of models that nobody converted."""
    result = run("rank", good, *SIX, "--measure", "modelgif,cka", "-f", "json").json
    assert [m["measure"] for m in result["measures"]] == ["modelgif", "cka"]
    assert result["similarity"] is None
    assert result["settings"]["method"] is None
    assert all(m["parity"]["error"] < 1e-4 for m in result["models"])
    assert "field" in result["seconds"]
    assert "attribute" not in result["seconds"]

    shown = run("rank", good, *SIX, "--measure", "cka")
    assert shown.code == 0
    assert "saliency" not in shown.out
    assert "compared at feature" in shown.out
    plain = run("rank", good, *SIX, "--measure", "cka", "--no-store", "-f", "json").json
    assert [m["parity"] for m in plain["models"]] == [None, None]
    assert not {"convert", "parity", "attribute", "field"} & plain["seconds"].keys()

    models = sorted(good.iterdir())
    (row,) = names(run, "compare", *models, *SIX, "--measure", "cka")
    assert row["probe"] == row["cosine"] == ""
    assert row["similarity"] == row["cka"]
    assert "alike on" not in run("compare", *models, *SIX, "--measure", "cka").out


def test_compare_says_the_same_both_ways(run, good):
    models = sorted(good.iterdir())
    measures = ("--measure", "attribution,predictability,cka")
    result = run("compare", *models, *SIX, *measures, "-f", "json").json
    told = [(m["measure"], m["source"], m["target"]) for m in result["measures"]]
    first, second = (m["name"] for m in result["models"])
    assert told == [
        ("attribution", first, second),
        ("predictability", first, second),
        ("predictability", second, first),
        ("cka", first, second),
    ]
    ranked = run("rank", good, *SIX, *measures, "-f", "json").json
    for measure, (_, source, target) in zip(result["measures"], told, strict=True):
        (whole,) = [m for m in ranked["measures"] if m["measure"] == measure["measure"]]
        row, column = whole["names"].index(source), whole["names"].index(target)
        assert measure["value"] == pytest.approx(whole["matrix"][row][column], abs=1e-9)
    shown = run("compare", *models, *SIX, *measures).out
    assert f"{first} as a source for {second}: " in " ".join(shown.split())
    flat = names(run, "compare", *models, *SIX, *measures)
    assert {"predictability", "predictability_back", "cka_low"} <= flat[0].keys()


@pytest.mark.parametrize(
    ("measure", "error", "hint"),
    [
        ("predictabilty", "there is no measure `predictabilty`", "did you mean `predictability`?"),
        ("cka,", "there is no measure ``", "valid are"),
        ("cka,cka", "the measure `cka` is asked for twice", ""),
    ],
)
@pytest.mark.parametrize("command", ["rank", "compare"])
def test_wrong_measures(run, good, command, measure, error, hint):
    models = sorted(good.iterdir()) if command == "compare" else [good]
    result = run(command, *models, "--measure", measure)
    assert result.code == 2
    assert error in result.errors[0]
    assert hint in "".join(result.hints)


def test_units_are_listed_in_the_store(run, good):
    run("rank", good, *SIX, "--measure", "rsa")
    listed = run("store", "list", "-f", "json").json["entries"]
    assert sorted(e["about"].get("part", "") for e in listed) == ["", "", *["representation"] * 2]
    assert "representation" in run("store", "list").out
