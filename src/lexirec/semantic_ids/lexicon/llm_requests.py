"""Concurrent requests to a labelling model: retries, a cache of all answers, and a cost estimate."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from lexirec.core.errors import LexirecError
from lexirec.core.locks import exclusive
from lexirec.core.progress import Progress
from lexirec.semantic_ids.lexicon.llm_cache import AnswerFile, AnswerLine, make_folder, question_key
from lexirec.semantic_ids.lexicon.llm_clients import LabelingClient, Reply, UnansweredError
from lexirec.semantic_ids.lexicon.llm_prompts import WORDS, Message, Question, repair_of
from lexirec.semantic_ids.lexicon.llm_schema import CellLabel, MalformedError, read_answer
from lexirec.semantic_ids.lexicon.llm_settings import LLMLexicon

_LONGEST_RETRY_AFTER = 3600.0
_HOPELESS = 8
"""Consecutive questions without an answer after which the endpoint counts as unavailable."""
_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_WORD = 1.4
_log = logging.getLogger(__name__)


class LabelingError(LexirecError):
    """A labelling model left questions without a usable answer."""


def request_labels(
    questions: Sequence[Question],
    connect: Callable[[LLMLexicon], LabelingClient],
    settings: LLMLexicon,
    folder: Path,
) -> list[CellLabel]:
    """Return the answer to each question; only questions without an answer in `folder` are sent.

    Args:
        questions: The questions; equal ones are sent once.
        connect: Creates the client; called only if there is a question to send.
        settings: Of the model and the calls.
        folder: Folder of the cache of all answers, usable or not.

    Raises:
        LabelingError: some questions have no usable answer after all retries; all answers are cached.
        SettingsError: the model is unavailable.
        DataError: the folder cannot be written.
    """
    keys = [_key(question, settings) for question in questions]
    make_folder(folder)
    with exclusive(folder / "answers.lock", "the model's answers"), AnswerFile(folder) as file:
        answers = _cached(file, set(keys), settings.keywords)
        open_questions = {key: question for key, question in zip(keys, questions) if key not in answers}
        _log.info(estimate(list(open_questions.values()), len(answers), settings))
        if open_questions:
            answers |= _Requests(connect(settings), file, settings).ask(open_questions)
    return [answers[key] for key in keys]


def estimate(questions: Sequence[Question], answered: int, settings: LLMLexicon) -> str:
    """Return one line with the expected tokens (four characters or .7 words each) and, with prices, the cost."""
    if not questions:
        return f"{settings.model}: all {answered:,} answers are cached; no question is sent"
    inputs = sum(len(question.prompt) for question in questions) // _CHARACTERS_PER_TOKEN
    longest = _TOKENS_PER_WORD * (WORDS[1] + 2 * settings.keywords) + 2 * settings.keywords
    outputs = round(len(questions) * min(longest, settings.calls.max_tokens))
    cached = f" ({answered:,} more are cached)" if answered else ""
    line = (
        f"{settings.model}: {len(questions):,} questions{cached}, about {inputs:,} input tokens and {outputs:,} "
        "output tokens"
    )
    prices = settings.calls.input_price, settings.calls.output_price
    if None in prices:
        return line
    cost = sum(price * tokens / 1e6 for price, tokens in zip(prices, (inputs, outputs)) if price is not None)
    return f"{line}, cost about {cost:,.2f} at the configured prices"


def _key(question: Question, settings: LLMLexicon) -> str:
    model = settings.model_dump(include={"client", "model", "temperature"})
    sampled = {"seed": settings.seed} if settings.client == "transformers" and settings.temperature != 0 else {}
    return question_key({**model, **sampled, "prompt": question.prompt})


def _cached(file: AnswerFile, keys: set[str], keywords: int) -> dict[str, CellLabel]:
    """Return the usable answers of the file; all are parsed again, so that a better parser recovers more."""
    answers: dict[str, CellLabel] = {}
    for line in file.lines():
        if line.key in keys and line.key not in answers and line.text is not None:
            try:
                answers[line.key] = read_answer(line.text, keywords)
            except MalformedError:
                continue
    return answers


class _Requests:
    """One run over open questions, by a pool of threads."""

    def __init__(self, client: LabelingClient, file: AnswerFile, settings: LLMLexicon) -> None:
        self._client, self._file, self._settings = client, file, settings
        self._calls = settings.calls
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._in_a_row = 0
        self._spent = [0, 0]
        self._failures: dict[str, str] = {}

    def ask(self, questions: Mapping[str, Question]) -> dict[str, CellLabel]:
        """Ask all questions and return the answers by key."""
        workers = 1 if self._settings.client == "transformers" else self._calls.concurrency
        answers: dict[str, CellLabel] = {}
        with Progress("asking the language model", len(questions)) as progress, ThreadPoolExecutor(workers) as pool:
            waiting = {pool.submit(self._one, key, question): key for key, question in questions.items()}
            try:
                self._collect(waiting, answers, progress)
            finally:  # also after Ctrl-C: answers to running requests are still cached
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        _log.info(
            "%s: used %s input tokens and %s output tokens", self._settings.model, *(f"{n:,}" for n in self._spent)
        )
        if len(answers) < len(questions):
            raise LabelingError(self._summary(len(questions), len(answers)))
        return answers

    def _collect(
        self, waiting: dict[Future[CellLabel | None], str], answers: dict[str, CellLabel], progress: Progress
    ) -> None:
        left = set(waiting)
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                answer = future.result()
                if answer is not None:
                    answers[waiting[future]] = answer
                progress.advance()
            if self._failures:
                progress.update(f"{len(self._failures):,} without an answer")

    def _one(self, key: str, question: Question) -> CellLabel | None:
        """Send one question until there is a usable answer; None when no attempt is left."""
        messages: list[Message] = [{"role": "user", "content": question.prompt}]
        reason, least = "", 0.0
        for attempt in range(self._calls.retries + 1):
            if not self._pause(attempt, least):
                return None
            least = 0.0
            try:
                reply = self._client.answer(messages)
                answer = read_answer(reply.text, self._settings.keywords)
            except UnansweredError as error:
                reason, least = str(error), error.wait
                self._note(key, question, None, reason)
                if error.again != "later" or least > _LONGEST_RETRY_AFTER:
                    self._give_up(question, reason, at_once=error.again == "nobody")
                    return None
            except MalformedError as error:
                reason = f"{error} (cut off at {self._calls.max_tokens:,} tokens)" if reply.cut else str(error)
                self._note(key, question, reply, reason)
                messages = [messages[0], *self._repair(reply.text, reason)]
            else:
                self._note(key, question, reply, None)
                self._in_a_row = 0
                return answer
        self._give_up(question, reason)
        return None

    def _repair(self, text: str, reason: str) -> list[Message]:
        """Return the messages that show the model its answer and the error; an empty answer is only asked again."""
        if not text.strip():
            return []
        repair = repair_of(reason, self._settings.keywords)
        return [{"role": "assistant", "content": text[:2000]}, {"role": "user", "content": repair}]

    def _pause(self, attempt: int, least: float) -> bool:
        """Wait as long as the attempt or the endpoint requires; return whether to continue."""
        now = time.monotonic()
        own = 0.0
        if attempt:
            own = min(self._calls.longest_wait, self._calls.first_wait * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)
        with self._lock:
            if least:  # the endpoint's limit holds for all threads
                self._not_before = max(self._not_before, now + least)
            until = max(self._not_before, now + own)
        return not self._stop.wait(max(until - now, 0.0)) if until > now else not self._stop.is_set()

    def _note(self, key: str, question: Question, reply: Reply | None, reason: str | None) -> None:
        reply = reply or Reply("")
        text = reply.text if reason is None or reply.text or reply.output_tokens else None
        line = AnswerLine(
            key=key,
            about=question.about,
            model=self._settings.model,
            text=text,
            reason=reason,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
        )
        self._file.add(line)
        with self._lock:
            self._spent[0] += reply.input_tokens
            self._spent[1] += reply.output_tokens

    def _give_up(self, question: Question, reason: str, *, at_once: bool = False) -> None:
        with self._lock:
            self._failures[question.about] = reason
            self._in_a_row += 1
            hopeless = self._in_a_row >= max(_HOPELESS, 2 * self._calls.concurrency)
        if at_once or hopeless:
            self._stop.set()

    def _summary(self, asked: int, answered: int) -> str:
        failed = list(self._failures.items())
        about, reason = failed[0] if failed else ("", "")
        n_unsent = asked - answered - len(failed)
        unsent = f", and {n_unsent:,} were not asked" if n_unsent else ""
        return (
            f"the model '{self._settings.model}' gave no usable answer for {len(failed):,} of {asked:,} tokens"
            f"{unsent}; the first is {about}: {reason}. All answers are in {self._file.path}; run again to ask only "
            "for the missing ones"
        )
