import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from lexirec.nn.cross_attention import FlatPrompts
from lexirec.nn.t5_layers import BeamSteps, decode, encode_by_length, encode_causally, position_bias

B, T, S, W, D = 3, 9, 7, 4, 24


def stock(activation: str = "relu") -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=50,
        d_model=D,
        d_kv=5,  # not d_model / heads, as in some T5 of version 1.1
        d_ff=32,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        feed_forward_proj=activation,
        tie_word_embeddings=activation == "relu",
        decoder_start_token_id=0,
        relative_attention_num_buckets=8,  # so that short sequences meet more than one bucket for far things
        relative_attention_max_distance=6,
    )
    return T5ForConditionalGeneration(config).eval()


def prompts(model: T5ForConditionalGeneration) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(B, T, D), torch.arange(T) < torch.tensor([[T], [4], [1]])


@pytest.mark.parametrize("activation", ["relu", "gated-gelu"])
@torch.no_grad()
def test_teacher_forcing_equals_the_stock_decoder(activation):
    model = stock(activation)
    states, mask = prompts(model)
    ids = torch.randint(0, 50, (B, S))
    hidden = decode(model.decoder, model.shared(ids)[:, None], FlatPrompts(states, mask))
    theirs = model(
        encoder_outputs=BaseModelOutput(states), attention_mask=mask.long(), decoder_input_ids=ids, use_cache=False
    ).logits
    scaled = getattr(model.config, "scale_decoder_outputs", model.config.tie_word_embeddings)
    ours = model.lm_head(hidden[:, 0] * (D**-0.5 if scaled else 1.0))
    assert torch.allclose(ours, theirs, atol=1e-5)
    last = model.decoder(inputs_embeds=model.shared(ids), encoder_hidden_states=states, encoder_attention_mask=mask)
    assert torch.allclose(hidden[:, 0], last.last_hidden_state, atol=1e-5)


@torch.no_grad()
def test_query_rows_do_not_see_each_other():
    model = stock()
    states, mask = prompts(model)
    inputs = torch.randn(B, 1, S, D)
    alone = decode(model.decoder, inputs, FlatPrompts(states, mask))
    rows = torch.cat([inputs, torch.randn(B, 2, S, D)], dim=1)

    class PerRow:  # every query row reads the same line of prompts
        def attend(self, layer, attention, hidden_BQSD):
            flat = FlatPrompts(states, mask)
            return torch.cat([flat.attend(layer, attention, hidden_BQSD[:, q : q + 1]) for q in range(3)], dim=1)

    assert torch.allclose(decode(model.decoder, rows, PerRow())[:, :1], alone, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gated-gelu"])
@torch.no_grad()
def test_steps_of_beams_equal_teacher_forcing_along_each_beam(activation):
    """Beams change places at every step; each must keep the keys and values of its own past."""
    model = stock(activation)
    states, mask = prompts(model)
    read = FlatPrompts(states, mask)
    steps, past = BeamSteps(model.decoder), torch.randn(B, 1, 1, D)
    hidden = steps.advance(past[:, :, 0], read, None)
    assert torch.allclose(hidden, decode(model.decoder, past, read)[:, :, 0], atol=1e-5)
    for step in range(1, S):
        width = W if step < S - 2 else W + 3  # the width changes from depth to depth
        parents = torch.randint(0, past.shape[1], (B, width))
        entered = torch.randn(B, width, D)
        hidden = steps.advance(entered, read, parents)
        past = past.gather(1, parents[..., None, None].expand(-1, -1, *past.shape[2:]))
        past = torch.cat([past, entered.unsqueeze(2)], dim=2)
        forced = torch.cat([decode(model.decoder, past[:, w : w + 1], read)[:, :, -1] for w in range(width)], dim=1)
        assert torch.allclose(hidden, forced, atol=1e-5)


@torch.no_grad()
def test_causal_encoding_of_a_sequence_serves_all_its_prefixes():
    model = stock()
    inputs = torch.randn(B, S, D)
    whole = encode_causally(model.encoder, inputs)
    for length in range(1, S + 1):
        assert torch.allclose(encode_causally(model.encoder, inputs[:, :length]), whole[:, :length], atol=1e-5)
    changed = inputs.clone()
    changed[:, -1] += 1
    assert not torch.allclose(encode_causally(model.encoder, changed)[:, -1], whole[:, -1], atol=1e-2)


@torch.no_grad()
def test_causal_encoding_of_one_token_equals_the_stock_encoder():
    model = stock("gated-gelu")
    inputs = torch.randn(B, 1, D)
    theirs = model.encoder(inputs_embeds=inputs).last_hidden_state
    assert torch.allclose(encode_causally(model.encoder, inputs), theirs, atol=1e-5)


def test_position_bias_is_that_of_the_first_layer():
    model = stock()
    for stack in (model.encoder, model.decoder):
        bias = position_bias(stack, S)
        assert bias.shape == (1, 4, S, S)
        assert torch.equal(bias, stack.block[0].layer[0].SelfAttention.compute_bias(S, S))
    assert not torch.equal(position_bias(model.encoder, S), position_bias(model.decoder, S))


@pytest.mark.parametrize("lengths", [[3, 9, 1, 7, 2, 5, 8, 4, 6, 3, 2, 1], [9, 9], [5], [0, 4, 2, 9, 1, 1, 0, 3]])
@torch.no_grad()
def test_rows_encoded_by_length_equal_rows_encoded_together(lengths):
    encoder = stock().encoder
    mask_RL = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids_RL = torch.randint(2, 50, mask_RL.shape).masked_fill(~mask_RL, 0)
    passes = []
    encoder.register_forward_hook(
        lambda module, args, kwargs, output: passes.append(kwargs["attention_mask"].shape), with_kwargs=True
    )
    found_RLD = encode_by_length(encoder, ids_RL, mask_RL)
    computed = sum(rows * longest for rows, longest in passes)
    expected_RLD = encoder(input_ids=ids_RL, attention_mask=mask_RL.long()).last_hidden_state
    assert found_RLD.shape == expected_RLD.shape
    torch.testing.assert_close(found_RLD[mask_RL], expected_RLD[mask_RL], rtol=1e-5, atol=1e-5)
    assert computed < mask_RL.numel() or len(lengths) < 8
