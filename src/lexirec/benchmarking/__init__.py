"""Speed and memory, each against a reference path in the same run, on random weights and generated data."""

from lexirec.benchmarking.decode import bench_decode
from lexirec.benchmarking.grpo import bench_grpo
from lexirec.benchmarking.train import bench_train
from lexirec.benchmarking.worlds import Sizes
from lexirec.decoding.trie_benchmark import bench_trie

__all__ = ["Sizes", "bench_decode", "bench_grpo", "bench_train", "bench_trie"]
