"""Summarises a call that is over: asks a model, checks and prices its answer, and makes nothing up on failure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.dialog.budget import Meter
from agent.dialog.prices import Prices, price_of
from agent.isolate import isolated
from agent.live.session import LiveClient
from agent.live.summary import Answer, ask
from agent.spoken import Spoken
from agent.summary import CallSummarised, SummaryFailure, SummaryWish, UnfitError, read_answer

logger = logging.getLogger(__name__)

DEADLINE_S = 120.0  # for all attempts together


@dataclass(frozen=True, slots=True)
class Summariser:
    """Summarises the calls of one agent.

    Attributes:
        client: the Live API's client, which serves other requests too.
        wish: what the agent's author wants to know about a call.
        model: the model that is asked.
        prices: what tokens cost.
    """

    client: LiveClient
    wish: SummaryWish
    model: str
    prices: Prices

    async def summarise(self, call_id: str, said: Sequence[Spoken]) -> tuple[CallSummarised, Meter]:
        """Return what a model says about a call, and what that cost.

        Args:
            call_id: identifies the call in the log.
            said: the transcript of what was heard.
        """
        meter = Meter(price_of(self.prices, self.model))
        if not said:
            return self.failed("nothing_said", "Nobody said anything."), meter
        answer = await ask(self.client, self.model, said, self.wish.schema(), deadline_s=DEADLINE_S)
        usage = answer.usage
        if usage is not None:
            meter.bill(
                usage.prompt,
                usage.response,
                thoughts_tokens=usage.thoughts_tokens,
                tool_use_tokens=usage.tool_use_tokens,
            )
        spent = meter.spent
        judged = self.judge(call_id, answer)
        return replace(judged, tokens=spent.by_direction(), cost_usd=spent.usd), meter

    def judge(self, call_id: str, answer: Answer) -> CallSummarised:
        """Check an answer and return the result, which is ``done`` only if the answer passes."""
        if answer.text is None:
            return self.failed(answer.reason or "empty", answer.detail)
        text, judged = answer.text, self.failed("check_failed", "The code of the agent's schema failed.")

        def check() -> None:
            nonlocal judged
            try:
                summary, data = read_answer(text, self.wish)
            except UnfitError as error:
                judged = self.failed(error.reason, error.detail)
            else:
                judged = CallSummarised(state="done", model=self.model, summary=summary, data=data)

        isolated(f"call {call_id}: the check of what was extracted", check)
        return judged

    def failed(self, reason: SummaryFailure, detail: str) -> CallSummarised:
        """Return the result that says why there is no summary."""
        return CallSummarised(state="failed", model=self.model, reason=reason, detail=detail)
