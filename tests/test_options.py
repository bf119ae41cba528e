"""Options: flags, words and ranges out of the fields of a dataclass."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from dift_geo.errors import InputError
from dift_geo.options import add_flags, check_ranges, from_words, option, option_names, take_flags


@dataclass(frozen=True, kw_only=True)
class Cake:
    """Options of every kind of type."""

    flour_grams: int = option(250, "of flour, 100 % wheat", metavar="G", least=1, most=2000)
    sugar: float | None = option(None, "share of sugar", above=0, most=1)
    shape: Literal["round", "square"] = option("round", "of the tin")
    icing: str | None = option(None, "on top", choices=("lemon", "cocoa"))
    recipe_file: Path | None = option(None, "where it is written down", metavar="FILE")
    note: str = option("", "for the baker")
    vegan: bool = option(False, "without eggs")
    baker: object = None  # no option

    def __post_init__(self) -> None:
        check_ranges(self)


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bake")
    add_flags(parser, Cake)
    return parser


def parsed(parser: argparse.ArgumentParser, *words: str) -> Cake:
    return take_flags(Cake, vars(parser.parse_args(words)))


def test_names_are_the_declared_fields_in_order() -> None:
    wanted = ["flour_grams", "sugar", "shape", "icing", "recipe_file", "note", "vegan"]
    assert option_names(Cake) == option_names(Cake()) == wanted


def test_no_flags_are_the_defaults(parser: argparse.ArgumentParser) -> None:
    assert parsed(parser) == Cake()


def test_flags_have_the_types_of_the_fields(parser: argparse.ArgumentParser) -> None:
    words = "--flour-grams 300 --sugar 0.5 --shape square --icing lemon --recipe-file a/b --vegan"
    cake = parsed(parser, *words.split(), "--note", "none")
    assert cake == Cake(
        flour_grams=300,
        sugar=0.5,
        shape="square",
        icing="lemon",
        recipe_file=Path("a/b"),
        note="none",  # a text that cannot be None
        vegan=True,
    )


@pytest.mark.parametrize("word", ["none", "None", "NONE"])
def test_none_is_a_word_where_none_is_a_value(parser: argparse.ArgumentParser, word: str) -> None:
    assert parsed(parser, "--sugar", word, "--icing", word, "--recipe-file", word) == Cake()


@pytest.mark.parametrize(
    ("flag", "word", "message"),
    [
        ("--flour-grams", "none", "flour_grams is 'none', expected int"),
        ("--flour-grams", "2.5", "expected int"),
        ("--flour-grams", "0", "flour_grams is 0, expected at least 1"),
        ("--flour-grams", "2001", "expected at most 2000"),
        ("--sugar", "0", "sugar is 0.0, expected more than 0"),
        ("--sugar", "nan", "sugar is nan, expected more than 0"),
        ("--sugar", "much", "sugar is 'much', expected float"),
        ("--shape", "oval", "shape is 'oval', expected one of round, square"),
        ("--icing", "salt", "icing is 'salt', expected one of lemon, cocoa"),
    ],
)
def test_a_wrong_flag_is_refused_with_its_name(
    parser: argparse.ArgumentParser, capsys, flag: str, word: str, message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        parser.parse_args([flag, word])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert f"argument {flag}: " in error
    assert message in error


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flour_grams": 0}, "flour_grams is 0"),
        ({"flour_grams": None}, "flour_grams is None, expected int"),
        ({"sugar": math.inf}, "sugar is inf"),
        ({"shape": "oval"}, "one of round, square"),
        ({"shape": None}, "one of round, square"),
        ({"icing": "salt"}, "one of lemon, cocoa"),
    ],
)
def test_the_object_refuses_what_the_flag_refuses(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cake(**fields)


def test_help_shows_text_choices_and_metavar(parser: argparse.ArgumentParser, capsys) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--flour-grams G of flour, 100 % wheat" in shown
    assert "--shape {round,square} of the tin" in shown
    assert "--recipe-file FILE where it is written down" in shown


def test_many_choices_go_into_the_help(capsys) -> None:
    @dataclass(frozen=True)
    class Colour:
        of_icing: str = option("c0", "on top", choices=[f"c{i}" for i in range(40)])

    parser = argparse.ArgumentParser()
    add_flags(parser, Colour)
    shown = parser.format_help()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "on top: c0, c1," in " ".join(shown.split())
    with pytest.raises(SystemExit):
        parser.parse_args(["--of-icing", "c40"])


def test_only_without_and_other_defaults() -> None:
    parser = argparse.ArgumentParser()
    wanted = ("flour_grams", "sugar", "note")
    add_flags(parser, Cake, only=wanted, without=["note"], defaults={"sugar": 0.25})
    assert vars(parser.parse_args([])) == {"flour_grams": 250, "sugar": 0.25}


def test_take_flags_leaves_what_is_not_its_own() -> None:
    flags = {"sugar": 0.5, "oven": 180, "vegan": True}
    cake = take_flags(Cake, flags, baker="Ada", vegan=False)
    assert cake == Cake(sugar=0.5, baker="Ada")  # what is given overrules the flag
    assert flags == {"oven": 180}


def test_words_are_parsed_by_field() -> None:
    words = {"flour-grams": "300", "--sugar": "none", "vegan": "yes", "recipe_file": "a"}
    assert from_words(Cake, words) == {
        "flour_grams": 300,
        "sugar": None,
        "vegan": True,
        "recipe_file": Path("a"),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"salt": "1"}, "'salt' is no option, expected one of flour_grams, "),
        ({"baker": "Ada"}, "'baker' is no option"),
        ({"vegan": "perhaps"}, "vegan is 'perhaps', expected bool"),
        ({"flour_grams": "some"}, "flour_grams is 'some', expected int"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_words(Cake, words)
