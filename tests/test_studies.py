import pytest
import torch

from infotherm import results, studies
from infotherm.studies import Study, claim_seed, discover, run, usable_device


def outcomes(dataset):
    return dict(zip(dataset["claim"].values, dataset["outcome"].values, strict=True))


# -- claims ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a:b", "taken"])
def test_a_claims_name_is_new_and_has_no_colon(name):
    study = Study("tiny", title="", source="")
    study.claim("taken", statement="x")(lambda context: [])
    with pytest.raises(ValueError, match="name must be new"):
        study.claim(name, statement="x")


def test_unknown_level_is_refused():
    with pytest.raises(ValueError, match="level must be one of quick, full"):
        Study("tiny", title="", source="").claim("a", statement="x", level="slow")


def test_a_statement_may_be_sympy():
    import sympy

    study = Study("tiny", title="", source="")
    study.claim("a", statement=sympy.Ge(sympy.Symbol("x"), 0))(lambda context: [])
    assert study.claims[0].statement == r"$x \geq 0$"


# -- finding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("tiny:*", ["one", "batch", "sampled", "thorough"]),
        ("tiny", ["one", "batch", "sampled", "thorough"]),
        ("tiny:b*", ["batch"]),
        ("*:one", ["one"]),
        ("one", ["one"]),
    ],
)
def test_patterns_choose_claims(good_study, pattern, expected):
    claims, broken = discover(good_study, [pattern])
    assert [claim.name for claim in claims] == expected and not broken


def test_a_pattern_that_matches_nothing_names_the_nearest(good_study):
    with pytest.raises(ValueError, match=r"no claim matches 'tiny:bach'; near it: tiny:batch"):
        discover(good_study, ["tiny:bach"])


def test_one_good_pattern_does_not_hide_a_bad_one(good_study):
    with pytest.raises(ValueError, match="no claim matches 'nothing'"):
        discover(good_study, ["tiny:one", "nothing"])


def test_a_folder_without_studies_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no study files"):
        discover(tmp_path)


def test_a_file_that_cannot_be_loaded_leaves_the_others(good_study, write_study):
    write_study("broken", "import nowhere_to_be_found")
    found = run(good_study)
    assert results.count(found.values()).error == 1
    assert "ModuleNotFoundError" in found["broken"]["reason"].values[0]
    assert outcomes(found["tiny"])["one"] == "holds"


def test_files_that_no_pattern_means_are_not_loaded(good_study, write_study):
    write_study("broken", "import nowhere_to_be_found")
    assert list(run(good_study, only=["tiny:one"])) == ["tiny"]


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ("del study", "holds 0"),
        ("other = Study('o', title='', source='')", "holds 2"),
        ("study.name = 'x'", "named 'x'"),
    ],
)
def test_a_file_holds_one_study_of_its_name(write_study, claims, message):
    _, broken = discover(write_study("tiny", claims))
    assert message in broken[0].reason


def test_the_packages_own_studies_are_found():
    assert (studies.studies_folder() / "gaussian.py").is_file()


# -- running -----------------------------------------------------------------------------------------------------------


def test_a_run_decides_every_claim_of_its_level(good_study):
    quick, full = run(good_study)["tiny"], run(good_study, level="full")["tiny"]
    assert set(quick["claim"].values) == {"one", "batch", "sampled"}
    assert set(full["claim"].values) == {"one", "batch", "sampled", "thorough"}
    assert set(quick["outcome"].values) == {"holds"}
    assert quick.attrs["level"] == "quick" and quick.attrs["source"] == "Nobody (2026)"


def test_batches_and_mappings_become_cases(good_study):
    dataset = run(good_study)["tiny"]
    assert list(dataset["case"].values) == ["", "[0]", "[1]", "[2]", "far", "near"]
    assert dataset["lhs_value"].values[1:4].tolist() == [1.0, 2.0, 3.0]


def test_a_list_of_verdicts_is_numbered(write_study):
    folder = write_study(
        claims="""
        @study.claim("two", statement="x")
        def two(context):
            return [decide(2.0, 1.0), decide(3.0, 1.0)]
        """
    )
    assert list(run(folder)["tiny"]["case"].values) == ["1", "2"]


def test_verdicts_of_different_bounds_are_called_by_their_names(write_study):
    folder = write_study(
        claims="""
        @study.claim("named", statement="x")
        def named(context):
            first, second = (decide(2.0, 1.0).labelled(name=name, source="") for name in ("gibbs", "pinsker"))
            return [first, second, second]
        """
    )
    assert list(run(folder)["tiny"]["case"].values) == ["gibbs", "pinsker 2", "pinsker 3"]


def test_a_claim_that_raises_is_a_row_and_the_others_survive(write_study):
    folder = write_study(
        claims="""
        @study.claim("raises", statement="x")
        def raises(context):
            raise RuntimeError("boom")

        @study.claim("after", statement="x")
        def after(context):
            return decide(2.0, 1.0)
        """
    )
    dataset = run(folder)["tiny"]
    assert outcomes(dataset) == {"raises": "error", "after": "holds"}
    assert dataset["reason"].values[0].startswith("RuntimeError: boom (tiny.py, line ")


@pytest.mark.parametrize("returned", ["[]", "{}", "None", "3.0", "['holds']"])
def test_a_claim_that_returns_no_verdict_is_an_error(write_study, returned):
    folder = write_study(
        claims=f"""
        @study.claim("empty", statement="x")
        def empty(context):
            return {returned}
        """
    )
    assert outcomes(run(folder)["tiny"]) == {"empty": "error"}


def test_warnings_are_kept_with_the_claim(write_study):
    folder = write_study(
        claims="""
        import warnings

        @study.claim("warns", statement="x")
        def warns(context):
            warnings.warn("not converged")
            return decide(2.0, 1.0)
        """
    )
    assert run(folder)["tiny"]["warnings"].values[0] == "UserWarning: not converged"


def test_figures_are_kept_with_the_results(write_study):
    folder = write_study(
        claims="""
        @study.claim("drawn", statement="x")
        def drawn(context):
            from matplotlib.figure import Figure
            figure = Figure(figsize=(1, 1))
            figure.add_subplot().plot([0, 1])
            context.attach(figure, "a line")
            context.attach("<svg/>", "an empty one")
            return decide(2.0, 1.0)
        """
    )
    dataset = run(folder)["tiny"]
    assert list(dataset["figure_title"].values) == ["a line", "an empty one"]
    assert set(dataset["figure_claim"].values) == {"drawn"}
    assert "<svg" in dataset["figure_svg"].values[0] and dataset["figure_svg"].values[1] == "<svg/>"


_DRAWS = """
    @study.claim("first", statement="x")
    def first(context):
        return decide(Estimate(torch.rand(1, generator=context.generator, dtype=torch.float64)), -1.0)

    @study.claim("second", statement="x")
    def second(context):
        return decide(Estimate(torch.rand(1, dtype=torch.float64)), -1.0)
"""


def test_draws_depend_on_the_seed_and_on_the_claim_alone(write_study):
    folder = write_study(claims=_DRAWS)
    both = run(folder)["tiny"]["lhs_value"].values
    assert both[0] != both[1]
    assert run(folder, only=["tiny:second"])["tiny"]["lhs_value"].values[0] == both[1]
    assert (run(folder, seed=1)["tiny"]["lhs_value"].values != both).all()


def test_a_run_leaves_the_global_stream_alone(write_study):
    before = torch.get_rng_state()
    run(write_study(claims=_DRAWS))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_fit_a_generator():
    seeds = [claim_seed(seed, name) for seed in (0, 1, -5, 2**70) for name in ("a:b", "a:c")]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)


def test_sampled_verdicts_share_one_level(write_study):
    """Each claim asks for level 0.4, at which many true ones would be refuted; the run decides all at 0.01 together."""
    folder = write_study(
        claims="""
        for i in range(40):
            @study.claim(f"null-{i}", statement="the mean is at least its true value")
            def null(context):
                x = torch.randn(200, generator=context.generator, dtype=torch.float64)
                return decide(from_samples(x, streams=["x"]), 0.0, alpha=0.4)

        @study.claim("false", statement="planted")
        def false(context):
            x = torch.randn(200, generator=context.generator, dtype=torch.float64)
            return decide(from_samples(x - 1, streams=["x"]), 0.0)
        """
    )
    found = outcomes(run(folder, alpha=0.01)["tiny"])
    assert found.pop("false") == "violated"
    assert set(found.values()) == {"undecided"}


def test_progress_names_what_is_computed(good_study):
    calls = []
    run(good_study, progress=lambda *call: calls.append(call))
    assert calls == [(0, 3, "tiny:one"), (1, 3, "tiny:batch"), (2, 3, "tiny:sampled"), (3, 3, "")]


def test_files_are_written_one_a_study(good_study, tmp_path):
    dataset = run(good_study, out=tmp_path / "out")["tiny"]
    assert results.load(tmp_path / "out" / "tiny.nc").identical(dataset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "slow"}, "level must be one of"),
        ({"alpha": 0.0}, "alpha must lie in"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
        ({"only": ["tiny:thorough"]}, "at level 'full' only"),
    ],
)
def test_bad_options_are_refused(good_study, options, message):
    with pytest.raises(ValueError, match=message):
        run(good_study, **options)


def test_a_missing_accelerator_is_named():
    if torch.cuda.is_available():
        assert usable_device("cuda").type == "cuda"
    else:
        with pytest.raises(ValueError, match="device 'cuda' cannot be used here"):
            usable_device("cuda")


def test_equally_named_files_of_different_folders_are_kept_apart(tmp_path, good_study):
    other = tmp_path / "other"
    other.mkdir()
    (other / "tiny.py").write_text(
        "from infotherm.studies import Study\nfrom infotherm.core.verdict import decide\n"
        "study = Study('tiny', title='', source='')\n"
        "@study.claim('else', statement='x')\ndef other(context):\n    return decide(2.0, 1.0)\n"
    )
    assert list(run(other)["tiny"]["claim"].values) == ["else"]
    assert "one" in run(good_study)["tiny"]["claim"].values
