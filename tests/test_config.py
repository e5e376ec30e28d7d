"""What the library says of its build."""

import os

import pytest

from gaussmix import config
from gaussmix._core import dispatch, threads


def test_config_says_what_runs() -> None:
    found = config.config()
    assert found["version"] == config.version()
    assert found["isa"] == dispatch.active().name
    assert found["isa"] in (*found["isa_usable"], "reference")
    assert set(found["isa_usable"]) <= set(found["isa_built"])
    assert found["flags"].keys() == set(found["isa_built"])
    assert (found["threads"], found["threads_reason"]) == tuple(threads.resolve())


def test_who_chose_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    name = dispatch.active().name
    monkeypatch.setenv(dispatch.ENVIRONMENT_VARIABLE, name)
    assert config.config()["isa_reason"] == f"GAUSSMIX_ISA={name}"
    monkeypatch.delenv(dispatch.ENVIRONMENT_VARIABLE)
    assert config.config()["isa_reason"] == "the best that this CPU supports"


def test_every_fact_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    config.show_config()
    printed = capsys.readouterr().out
    found = config.config()
    for part in (*found["flags"].values(), *found["isa_built"], found["threads_reason"]):
        assert part in printed
    for name in ("gaussmix", "compiler", "OpenMP", "ISA built", "ISA usable", "ISA chosen"):
        assert f"{os.linesep}{name} " in os.linesep + printed


def test_a_source_tree_says_that_it_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_build_info", lambda: None)
    found = config.config()
    assert (found["version"], found["compiler"], found["isa_built"]) == ("not built",) * 2 + ((),)
    assert found["openmp"] is False
