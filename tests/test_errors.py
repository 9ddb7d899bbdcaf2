from tinier_yolo.errors import CfgError, TinierYoloError


def test_an_error_is_one_line_with_its_place() -> None:
    error = CfgError("bad value", path="a.cfg", place="line 3, [net] width", expected="a number", found="x\ny")
    assert str(error) == "a.cfg: line 3, [net] width: bad value (expected a number, found x y)"
    assert isinstance(error, TinierYoloError)
    assert str(TinierYoloError("alone")) == "alone"
    assert str(TinierYoloError("alone", found=0)) == "alone (found 0)"


def test_a_line_obeys_no_terminal_and_ends_nowhere_else() -> None:
    error = TinierYoloError("bad", path="a\x1b[31m\n\u202eb.jpg", found="\x07\udcff é")
    assert str(error) == r"a\x1b[31m \u202eb.jpg: bad (found \x07\udcff é)"


def test_a_line_is_cut_at_300_characters() -> None:
    error = TinierYoloError("bad", path="x" * 500 + "/end.jpg", place="p" * 90, expected="e" * 400, found="f" * 1000)
    assert len(str(error)) <= 300
    assert "/end.jpg: ppp" in str(error)
    assert "expected eee" in str(error)
    assert str(error).endswith("...)")
