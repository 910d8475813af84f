"""TS-Rec and MiniOneRec: a causal language model that generates semantic IDs, fine-tuned, then reinforced."""
