"""Chromium accepts the answers to many kinds of offers, and connects."""

from __future__ import annotations

from typing import Any

from tests.support.browser import BrowserFactory
from tests.support.process import serving
from tests.support.sdp_answers import mistakes, sections_of

CALL = """async ({configuration, sections, munge}) => {
    const pc = new RTCPeerConnection(configuration);
    for (const {kind, codecs, ...init} of sections) {
        if (kind === "data") { pc.createDataChannel("chat"); continue; }
        const transceiver = pc.addTransceiver(kind, init);
        const known = RTCRtpReceiver.getCapabilities(kind).codecs;
        const wanted = (codecs || []).flatMap(
            name => known.filter(codec => codec.mimeType.toLowerCase() === `${kind}/${name}`.toLowerCase()));
        if (wanted.length) transceiver.setCodecPreferences(wanted);
    }
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete") await new Promise(done => setTimeout(done, 10));
    const offer = pc.localDescription.sdp.replace(new RegExp(munge || "$^", "gm"), "");
    const response = await fetch("/whip", {
        method: "POST", headers: {"Content-Type": "application/sdp"}, body: offer});
    const answer = await response.text();
    await pc.setRemoteDescription({type: "answer", sdp: answer});
    const until = Date.now() + 10000;
    while (pc.connectionState !== "connected" && Date.now() < until)
        await new Promise(done => setTimeout(done, 20));
    const state = pc.connectionState;
    await fetch(response.headers.get("Location"), {method: "DELETE"});
    pc.close();
    return {offer, answer, state};
}"""
AUDIO: dict[str, Any] = {"kind": "audio"}
DATA: dict[str, Any] = {"kind": "data"}


def video(*codecs: str, **init: Any) -> dict[str, Any]:
    return {"kind": "video", "codecs": codecs, "direction": "sendonly", **init}


SIMULCAST = video("VP8", sendEncodings=[{"rid": rid} for rid in "hml"])
CASES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("a-a", [AUDIO, video("AV1", "VP9", "rtx"), DATA], {}),
    ("-a", [video("VP9"), AUDIO], {}),
    ("a-a", [AUDIO, video("VP9"), DATA], {"configuration": {"bundlePolicy": "max-bundle"}}),
    ("-ava", [video("AV1"), AUDIO, video("VP8", "AV1", "rtx"), DATA], {}),
    ("avva", [AUDIO, video("VP8", "rtx"), video("H264", "VP8", "rtx", "red", "ulpfec"), DATA], {}),
    ("av", [AUDIO, SIMULCAST], {}),
    ("aaa", [AUDIO, AUDIO, DATA], {"munge": r"^a=ssrc.*\r\n"}),
    ("a", [{"kind": "audio", "codecs": ["red", "opus", "telephone-event"]}], {}),
    ("a", [{"kind": "audio", "codecs": ["PCMA"], "direction": "recvonly"}], {}),
    ("ava", [AUDIO, video("VP8"), DATA], {"munge": r"^a=group.*\r\n"}),
    ("a-a", [AUDIO, video("VP9"), DATA], {"munge": r"^a=group.*\r\n"}),
    ("aa", [AUDIO, DATA], {"configuration": {"bundlePolicy": "max-compat"}}),
]


async def test_chromium_takes_the_answer_to_each_of_its_offers(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.goto(service.url)
        for expected, sections, more in CASES:
            done = await page.evaluate(CALL, {"sections": sections, **more})
            offer, answer = done["offer"], done["answer"]
            assert mistakes(offer, answer) == [], answer
            kinds = "".join("-" if section.refused else section.kind[0] for section in sections_of(answer))
            assert (kinds, done["state"]) == (expected, "connected"), (offer, answer)
