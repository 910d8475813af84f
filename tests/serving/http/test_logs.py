import io
import json
import logging

from lexirec.serving.http.logs import JsonFormatter, UserNames


def written(log) -> dict:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("lexirec.test_logs")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        log(logger)
    finally:
        logger.removeHandler(handler)
    [line] = stream.getvalue().splitlines()
    return json.loads(line)


def test_a_record_is_one_line_with_its_fields():
    line = written(lambda logger: logger.info("a\nb %s", "\x1b[31m", extra={"fields": {"status": 200}}))
    assert line["status"] == 200
    assert line["level"] == "info"
    assert "\x1b" not in line["message"]
    assert line["time"].endswith("Z")


def test_an_error_has_its_traceback_on_the_same_line():
    def log(logger):
        try:
            raise ValueError("no weights")
        except ValueError as error:
            logger.error("failed", exc_info=error)

    assert "ValueError: no weights" in written(log)["traceback"]


def test_users_have_the_same_name_in_one_process_and_it_is_not_their_id():
    names = UserNames(plain=False)
    assert names.of("ann") == names.of("ann") != names.of("bob")
    assert "ann" not in str(names.of("ann"))
    assert names.of("ann") != UserNames(plain=False).of("ann")
    assert UserNames(plain=True).of("ann") == "ann"
    assert names.of(None) is None
