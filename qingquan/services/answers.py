"""The doors by which answers come in from providers: clicks on WeCom cards, replies by SMS.

* ``GET``/``POST /callbacks/wecom``: signed and sealed by WeCom. The click is stored before the provider gets its 200, so a crash
  loses none; the card is changed afterwards.
* ``POST /replies/<receipts_token>/aliyun_sms`` and ``…/tencent_sms``: pushes of replies, unsigned, at a path nobody guesses.

A database that is away is answered with 503: both providers come again.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping

import structlog
from fastapi import APIRouter, BackgroundTasks, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy import Engine

from alerts.card_answers import Clicked, take_click
from alerts.channels.build import build_channels
from alerts.channels.wecom_app import WecomApp
from alerts.channels.wecom_crypto import CallbackCrypto, CallbackRefused, CardEvent, card_event
from alerts.messages import AlertSettings
from alerts.receipts import ANSWERS as RECEIPT_ANSWERS
from alerts.sms_answers import replies_of, take_reply
from qingquan.config import Config
from qingquan.domain.answers import AnswerKind, AnswerOutcome
from qingquan.errors import StoreUnavailable
from qingquan.services.escalating import WorksLookup
from qingquan.store.sql.budgets import SqlTokens
from qingquan.store.sql.engine import writing

__all__ = ["answer_doors"]

MOST_BYTES = 1_048_576
# What each provider wants to hear, lest it push again.
TAKEN: Mapping[str, Mapping[str, object]] = {name: RECEIPT_ANSWERS[name] for name in ("aliyun_sms", "tencent_sms")}

_WORDS = {
    "zh": {
        AnswerKind.ACKNOWLEDGED: "{name} 已知悉", AnswerKind.FIXED: "{name} 已处理，待核实", AnswerKind.HELP: "{name} 已求助",
        "over": "已结束", "refused": "无权操作",
    },
    "en": {
        AnswerKind.ACKNOWLEDGED: "{name}: noted", AnswerKind.FIXED: "{name}: fixed, unproven", AnswerKind.HELP: "{name}: help called",
        "over": "over", "refused": "not yours",
    },
}  # fmt: skip

_log = structlog.get_logger("answers")


def answer_doors(engine: Engine, config: Config) -> APIRouter:
    """Routes of the doors; each stays shut while its settings are empty."""
    router = APIRouter(include_in_schema=False)
    settings = AlertSettings.from_config(config)
    crypto = _crypto(config)

    @router.get("/callbacks/wecom")
    async def prove(msg_signature: str = "", timestamp: str = "", nonce: str = "", echostr: str = "") -> Response:
        """WeCom asks whether the address is ours."""
        if crypto is None:
            return Response(status_code=404)
        try:
            return PlainTextResponse(crypto.opened(msg_signature, timestamp, nonce, echostr))
        except CallbackRefused:
            return Response(status_code=403)

    @router.post("/callbacks/wecom")
    async def clicked(
        request: Request, afterwards: BackgroundTasks, msg_signature: str = "", timestamp: str = "", nonce: str = ""
    ) -> Response:
        """Somebody has clicked on a card."""
        if crypto is None:
            return Response(status_code=404)
        raw = await _body(request)
        if raw is None:
            return Response(status_code=413)
        try:
            event = card_event(crypto.opened_xml(msg_signature, timestamp, nonce, raw))
        except CallbackRefused as error:
            _log.warning("callback_refused", why=str(error))
            return Response(status_code=403)
        if event is None:
            return Response()
        try:
            done = await asyncio.to_thread(_take_click, engine, event, config, settings)
        except StoreUnavailable:
            return Response(status_code=503)
        _log.info(
            "card_clicked", outcome=done.outcome.value, user=event.user, new=any(one.is_new for one in done.taken)
        )
        if event.response_code and (not done.taken or done.taken[0].is_new):
            afterwards.add_task(_change_card, engine, config, event, done)
        return Response(background=afterwards)

    @router.post("/replies/{token}/{channel}")
    async def replied(token: str, channel: str, request: Request) -> JSONResponse:
        """Replies by SMS, several at a time or one."""
        wanted = config.receipts_token
        if not wanted or not secrets.compare_digest(token.encode(), wanted.encode()) or channel not in TAKEN:
            return JSONResponse({"code": 404}, status_code=404)
        raw = await _body(request)
        if raw is None:
            return JSONResponse({"code": 413}, status_code=413)
        try:
            counts = await asyncio.to_thread(_take_replies, engine, channel, raw, config, settings)
        except StoreUnavailable:
            return JSONResponse({"code": 503}, status_code=503)
        _log.info("replies", channel=channel, **counts)
        # What cannot be read will not read better the next time: it is counted, and taken.
        return JSONResponse(TAKEN[channel])

    return router


def _crypto(config: Config) -> CallbackCrypto | None:
    given = config.wecom_callback_token, config.wecom_callback_key, config.wecom_corp_id
    return CallbackCrypto(*given) if all(given) else None


async def _body(request: Request) -> bytes | None:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BYTES:
            return None
    return bytes(raw)


def _take_click(engine: Engine, event: CardEvent, config: Config, settings: AlertSettings) -> Clicked:
    with writing(engine) as connection:
        return take_click(connection, event, WorksLookup().of(connection), config.clock.now_ms(), settings)


def _take_replies(engine: Engine, channel: str, raw: bytes, config: Config, settings: AlertSettings) -> Counter[str]:
    rows = replies_of(raw, channel)
    if rows is None:
        return Counter({"unreadable": 1})
    counts: Counter[str] = Counter()
    for row in rows:
        # One transaction each: a push that comes again after a crash finds the first half there.
        with writing(engine) as connection:
            lookup = WorksLookup().of(connection)
            counts += take_reply(connection, row, lookup, config.clock.now_ms(), settings)
    return counts


def _change_card(engine: Engine, config: Config, event: CardEvent, done: Clicked) -> None:
    """Say on the card what became of the click. Only the look of it: what counts is stored."""
    channel = build_channels(config, SqlTokens(engine))["wecom_app"]
    if not isinstance(channel, WecomApp):
        return
    try:
        outcome = channel.update_card(event.user, event.response_code, card_words(done, config.language))
    except StoreUnavailable:
        return
    finally:
        channel.close()
    if outcome.reason:
        _log.warning("card_not_changed", why=outcome.reason)


def card_words(done: Clicked, language: str) -> str:
    """What takes the place of the buttons."""
    words = _WORDS[language]
    if done.outcome is AnswerOutcome.OVER:
        return words["over"]
    return words["refused"] if done.kind is None else words[done.kind].format(name=done.person)
