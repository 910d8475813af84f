from __future__ import annotations

import pytest

from lexirec.core.errors import SettingsError
from lexirec.semantic_ids.lexicon.key_hosts import HOSTS_VARIABLE, key_for
from lexirec.semantic_ids.lexicon.llm_clients import OpenAiClient
from lexirec.semantic_ids.lexicon.llm_settings import CallSettings, LLMLexicon
from tests.worlds.stub_llm import good, serving


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv(HOSTS_VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/v1",
        "https://api.openai.com@evil.example/v1",
        "https://api.openai.com.evil.example/v1",
        "https://evil.example/api.openai.com",
        "https://evil.example#api.openai.com",
        "https://API.OPENAI.COM:443@evil.example",
        "http://10.0.0.7/v1",
        "https://[2001:db8::1]/v1",
        "http://localhost:8000/v1",
    ],
)
@pytest.mark.parametrize("variable", ["SECRET", "OPENAI_API_KEY"])
def test_no_key_goes_to_a_host_that_is_not_named_for_it(address, variable):
    if "localhost" in address and variable == "OPENAI_API_KEY":
        assert key_for(address, variable) == ""
        return
    with pytest.raises(
        SettingsError, match=f"would send the environment variable {variable} to .*{HOSTS_VARIABLE}="
    ) as e:
        key_for(address, variable)
    assert "s3cret" not in str(e.value)
    assert "sk-openai" not in str(e.value)


def test_a_file_cannot_send_another_variable_to_openai():
    with pytest.raises(SettingsError, match=r"SECRET to api\.openai\.com"):
        key_for(None, "SECRET")
    assert key_for(None, "OPENAI_API_KEY") == "sk-openai"
    assert key_for("https://api.openai.com/v1", "OPENAI_API_KEY") == "sk-openai"


def test_hosts_are_named_outside_the_file_each_for_a_variable(monkeypatch):
    monkeypatch.setenv(HOSTS_VARIABLE, "llm.example=SECRET, Other.example:8443 = OPENAI_API_KEY,,localhost=SECRET")
    assert key_for("https://LLM.example/v1", "SECRET") == "s3cret"
    assert key_for("https://other.example:8443/v1", "OPENAI_API_KEY") == "sk-openai"
    assert key_for("http://localhost:11434/v1", "SECRET") == "s3cret"
    for address, variable in [
        ("https://llm.example/v1", "OPENAI_API_KEY"),
        ("https://other.example/v1", "OPENAI_API_KEY"),
        ("https://sub.llm.example/v1", "SECRET"),
    ]:
        with pytest.raises(SettingsError, match="not named for it"):
            key_for(address, variable)
    with pytest.raises(SettingsError, match="not encrypted"):
        key_for("http://llm.example/v1", "SECRET")


def test_a_person_may_confirm():
    asked = []
    answers = {"yes": True, "no": False}
    assert key_for("https://llm.example/v1", "SECRET", lambda q: not asked.append(q) and answers["yes"]) == "s3cret"
    assert asked == ["Send the environment variable SECRET as API key to llm.example?"]
    with pytest.raises(SettingsError, match="not named"):
        key_for("https://llm.example/v1", "SECRET", lambda q: answers["no"])


def test_where_no_key_is_set_none_is_sent_or_asked_for(monkeypatch):
    monkeypatch.delenv("SECRET")
    assert key_for("https://evil.example/v1", "SECRET") == ""
    with pytest.raises(SettingsError, match="SECRET is not set"):
        key_for(None, "SECRET")


@pytest.mark.parametrize("address", ["", "localhost:8000", "file:///etc/passwd", "https://", "http://[::1", "ftp://x"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(SettingsError, match="'base_url' is"):
        key_for(address or "x", "SECRET")


def test_a_local_endpoint_gets_no_key_and_no_names_of_openai(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    with serving(good) as (stub, address):
        settings = LLMLexicon(client="openai", model="stub", base_url=address, calls=CallSettings())
        OpenAiClient(settings).answer([{"role": "user", "content": "?"}])
    sent = str(stub.headers)
    assert "sk-openai" not in sent
    assert "org-1" not in sent
    assert "proj-1" not in sent
