from lexirec.workflows.benchmarks.measure import apart


def test_a_competitor_answers_from_a_process_of_its_own_with_its_own_memory():
    with apart(bytearray, b"abc") as competitor:
        first = competitor.ask("__len__")
        competitor.ask("extend", bytes(2**25))
        second = competitor.ask("__len__")
    assert first.value == 3
    assert second.value == 3 + 2**25
    assert second.growth - first.growth > 30  # MiB
    assert 0 < second.seconds < 10
    assert second.processor_seconds > 0
