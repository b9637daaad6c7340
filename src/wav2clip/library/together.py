"""Calls that several threads make at once, answered by one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Lock
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_MOST = 32


@dataclass
class _Asked(Generic[Question, Answer]):
    question: Question
    answer: Future[Answer] = field(default_factory=Future)
    woken: Event = field(default_factory=Event)


class Together(Generic[Question, Answer]):
    """A function of many questions that each thread calls with one of its own.

    One call is at work at a time; whoever asks meanwhile waits, and the first of those who waited
    asks for all of them. A search reads every vector of a library, and reading them once for eight
    queries takes less than half the time of reading them eight times. Who comes alone does not
    wait.

    Args:
        answer: takes 1 to 32 questions, gives as many answers in their order. Where it raises, it
            is asked each question alone, so that a bad one costs its own answer only.
    """

    def __init__(self, answer: Callable[[Sequence[Question]], Sequence[Answer]]) -> None:
        self._answer = answer
        self._waiting: list[_Asked[Question, Answer]] = []
        self._busy = False
        self._guard = Lock()

    def __call__(self, question: Question) -> Answer:
        own: _Asked[Question, Answer] = _Asked(question)
        with self._guard:
            self._waiting.append(own)
            first, self._busy = not self._busy, True
        if not first:
            own.woken.wait()
        if not own.answer.done():  # woken without an answer: it is this thread's turn to ask
            self._answer_some()
        return own.answer.result()

    def _answer_some(self) -> None:
        with self._guard:
            taken, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        try:
            self._settle_all(taken)
        except BaseException as error:  # interrupted: those who wait must not do so for ever
            for asked in taken:
                if not asked.answer.done():
                    asked.answer.set_exception(error)
            raise
        finally:
            with self._guard:
                following = self._waiting[:1]
                self._busy = bool(following)
            for asked in (*following, *taken):
                asked.woken.set()

    def _settle_all(self, taken: Sequence[_Asked[Question, Answer]]) -> None:
        try:
            answers = self._answer([asked.question for asked in taken])
        except Exception:
            for asked in taken:
                _settle(asked.answer, partial(self._answer, [asked.question]))
        else:
            for asked, answer in zip(taken, answers, strict=True):
                asked.answer.set_result(answer)


def _settle(future: Future[Answer], answer: Callable[[], Sequence[Answer]]) -> None:
    try:
        future.set_result(answer()[0])
    except Exception as error:
        future.set_exception(error)
