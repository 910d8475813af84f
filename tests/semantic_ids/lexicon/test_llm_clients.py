import sys
import time
from email.utils import formatdate

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lexirec.core.errors import SettingsError
from lexirec.semantic_ids.lexicon.llm_clients import (
    OpenAiClient,
    TransformersClient,
    UnansweredError,
    connect,
    retry_after,
)
from lexirec.semantic_ids.lexicon.llm_schema import MalformedError, read_answer
from lexirec.semantic_ids.lexicon.llm_settings import CallSettings, LLMLexicon
from tests.worlds.stub_llm import GOOD, good, reply, serving

SAID = ['{"description":', '"Tools', 'of', 'steel.",', '"keywords":', '["hammer",', '"nail",', '"drill"]}']  # fmt: skip


def openai_teacher(address=None, **calls):
    return LLMLexicon(client="openai", model="stub", base_url=address, calls=CallSettings(**calls))


def ask(act, **calls):
    with serving(act) as (stub, address):
        try:
            return OpenAiClient(openai_teacher(address, **calls)).answer([{"role": "user", "content": "?"}]), stub
        except UnansweredError as error:
            return error, stub


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_an_endpoint_is_asked_with_schema_limit_and_temperature():
    answer, stub = ask(good, max_tokens=77)
    assert (answer.text, answer.cut, answer.input_tokens, answer.output_tokens) == (GOOD, False, 100, 20)
    body = stub.bodies[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("stub", 77, 0.0)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["description", "keywords"]


@pytest.mark.parametrize(("mode", "sent"), [("object", {"type": "json_object"}), ("none", None)])
def test_endpoints_without_schemas_are_asked_for_less(mode, sent):
    _, stub = ask(good, json_mode=mode)
    assert stub.bodies[0].get("response_format") == sent


@pytest.mark.parametrize(
    ("action", "again", "wait", "reason"),
    [
        ((429, {"Retry-After": "7"}, {"error": {"message": "slow\ndown"}}), "later", 7, "HTTP 429: "),
        ((429, {}, {"error": {"message": "no money", "code": "insufficient_quota"}}), "nobody", 0, "no money"),
        ((500, {}, b"oops"), "later", 0, "HTTP 500"),
        ((503, {"retry-after-ms": "1500"}, {}), "later", 1.5, "HTTP 503"),
        ((401, {}, {"error": {"message": "wrong key"}}), "nobody", 0, "wrong key"),
        ((404, {}, {"error": {"message": "no such model"}}), "nobody", 0, "no such model"),
        ((400, {}, {"error": {"message": "too long"}}), "never", 0, "too long"),
        ((200, {}, b'{"id": "1", "choi'), "later", 0, "the reply is no JSON"),
        ((200, {}, {"id": "1"}), "later", 0, "the reply holds no answer"),
        ((200, {"Content-Type": "text/html"}, b"<html>"), "later", 0, "the reply"),
        (None, "later", 0, "timed out"),
    ],
)
def test_failed_calls_say_why_and_whether_to_call_again(action, again, wait, reason):
    error, stub = ask(lambda question, times: action, timeout=30 if action else 0.3)
    assert isinstance(error, UnansweredError)
    assert (error.again, error.wait) == (again, wait)
    assert reason in str(error)
    assert "\n" not in str(error)
    assert sum(stub.asked.values()) == 1  # the client itself does not repeat calls


def test_a_refused_connection_may_be_over_later():
    with serving(good) as (_, address):
        pass
    with pytest.raises(UnansweredError) as caught:
        OpenAiClient(openai_teacher(address)).answer([{"role": "user", "content": "?"}])
    assert caught.value.again == "later"


def test_answers_cut_off_say_so_and_odd_characters_can_be_stored():
    answer, _ = ask(lambda question, times: (200, {}, reply("lone \ud800", "length")))
    assert answer.cut
    assert answer.text.encode() == b"lone \\ud800"


def test_retry_after_is_seconds_or_a_date():
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after": formatdate(time.time() + 30)}) == pytest.approx(30, abs=2)
    assert [retry_after({"retry-after": odd}) for odd in ("soon", "nan", "-3", "inf")] == [0, 0, 0, 0]
    assert retry_after({}) == 0


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
        connect(openai_teacher())
    with pytest.raises(SettingsError, match="needs the name of a model"):
        connect(LLMLexicon(client="transformers"))
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(SettingsError, match=r"pip install 'lexirec\[teacher\]'"):
        connect(openai_teacher("http://127.0.0.1:1/v1"))


# --------------------------------------------------------------------------------------------------- a local model


def save_tokenizer(folder, template):
    vocabulary = {piece: number for number, piece in enumerate(["<unk>", "</s>", "<answer>", *SAID])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    return vocabulary


def save_model(folder, vocabulary, *, knowing):
    """Save a tiny Llama with random weights or, knowing, one that says after each word the next of `SAID`."""
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=400, eos_token_id=1, bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    if knowing:
        for name, weight in model.named_parameters():
            if not name.endswith("norm.weight"):
                torch.nn.init.zeros_(weight)
        chain = [vocabulary[piece] for piece in ["<answer>", *SAID, "</s>"]]
        with torch.no_grad():
            model.model.embed_tokens.weight[range(len(vocabulary)), range(len(vocabulary))] = 1.0
            model.lm_head.weight[chain[1:], chain[:-1]] = 1.0
    model.save_pretrained(folder)


TEMPLATE = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}<answer>"


def local(folder, **calls):
    return LLMLexicon(client="transformers", model=str(folder), calls=CallSettings(**calls))


def test_a_local_model_answers_through_its_chat_template(tmp_path):
    save_model(tmp_path, save_tokenizer(tmp_path, TEMPLATE), knowing=True)
    teacher = connect(local(tmp_path))
    answer = teacher.answer([{"role": "user", "content": "which tools are these"}])
    assert read_answer(answer.text, 3).keywords == ["hammer", "nail", "drill"]
    assert (answer.cut, answer.input_tokens, answer.output_tokens) == (False, 6, len(SAID) + 1)
    cut = connect(local(tmp_path, max_tokens=3)).answer([{"role": "user", "content": "which"}])
    assert cut.cut
    with pytest.raises(UnansweredError, match="has 500 tokens, the model takes fewer than 400"):
        teacher.answer([{"role": "user", "content": "word " * 498}])


def test_a_random_model_without_template_says_something_that_cannot_be_used(tmp_path):
    save_model(tmp_path, save_tokenizer(tmp_path, None), knowing=False)
    state = torch.random.get_rng_state()
    teacher = TransformersClient(local(tmp_path, max_tokens=12).model_copy(update={"temperature": 1.0}))
    messages = [{"role": "user", "content": "which tools"}]
    first, second = teacher.answer(messages), teacher.answer(messages)
    assert first == second  # sampling follows the seed
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(MalformedError):
        read_answer(first.text, 3)


def test_a_model_that_is_none_is_named(tmp_path):
    with pytest.raises(SettingsError, match="there is no causal language model"):
        connect(local(tmp_path))
