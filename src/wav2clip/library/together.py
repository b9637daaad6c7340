"""Calls that several threads make at once, answered by one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_MOST = 32


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
        self._waiting: list[tuple[Question, Future[Answer]]] = []
        self._guard = Lock()  # of the list
        self._work = Lock()

    def __call__(self, question: Question) -> Answer:
        own: Future[Answer] = Future()
        with self._guard:
            self._waiting.append((question, own))
        while not own.done():
            with self._work:
                if not own.done():
                    self._answer_some()
        return own.result()

    def _answer_some(self) -> None:
        with self._guard:
            taken, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        try:
            answers = self._answer([question for question, _ in taken])
        except Exception:
            for question, future in taken:
                _settle(future, partial(self._answer, [question]))
        else:
            for (_, future), answer in zip(taken, answers, strict=True):
                future.set_result(answer)


def _settle(future: Future[Answer], answer: Callable[[], Sequence[Answer]]) -> None:
    try:
        future.set_result(answer()[0])
    except Exception as error:
        future.set_exception(error)
