from tinier_yolo.errors import CfgError, TinierYoloError


def test_an_error_is_one_line_with_its_place() -> None:
    error = CfgError("bad value", path="a.cfg", place="line 3, [net] width", expected="a number", found="x\ny")
    assert str(error) == "a.cfg: line 3, [net] width: bad value (expected a number, found x y)"
    assert isinstance(error, TinierYoloError)
    assert str(TinierYoloError("alone")) == "alone"
    assert str(TinierYoloError("alone", found=0)) == "alone (found 0)"
