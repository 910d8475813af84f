from lexirec.workflows.benchmarks.trie import bench_trie


def test_both_walks_take_the_same_beams_and_ours_is_faster():
    result = bench_trie(items=4_000, repeats=1)
    assert result["identical"] is True
    assert result["nodes"] > result["items"] > 3_000
    assert result["speedup"] > 2
    assert result["build_seconds"] > 0
