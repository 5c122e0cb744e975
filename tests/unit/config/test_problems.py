"""How a problem reads."""

from syncd.config.problems import ConfigError, Place, Problem


def test_a_problem_reads_place_key_sentence() -> None:
    problem = Problem.at(Place("syncd.yaml", 7, 38), "profiles[contoso].port", "must be 1")
    assert str(problem) == "syncd.yaml:7:38: profiles[contoso].port: must be 1"
    assert problem.as_json() == {
        "file": "syncd.yaml",
        "line": 7,
        "column": 38,
        "key": "profiles[contoso].port",
        "message": "must be 1",
    }


def test_a_problem_of_a_whole_file_has_neither_line_nor_key() -> None:
    assert str(Problem.at(Place("syncd.yaml"), "", "is empty")) == "syncd.yaml: is empty"


def test_what_a_problem_quotes_cannot_break_its_line() -> None:
    problem = Problem.at(Place("a", 1, 1), "k\x1b[31m", 'found "x\r\nb: nothing wrong"')
    assert str(problem) == 'a:1:1: k�[31m: found "x��b: nothing wrong"'


def test_an_error_holds_its_problems_in_order_each_once() -> None:
    second = Problem.at(Place("a", 10, 1), "", "second")
    first = Problem.at(Place("a", 9, 1), "", "first")
    other = Problem.at(Place("b", 1, 1), "", "third")
    error = ConfigError([other, second, first, second])
    assert error.problems == (first, second, other)
    assert str(error) == "a:9:1: first\na:10:1: second\nb:1:1: third"
