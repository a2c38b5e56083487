"""Offers that are no offers, or hardly: each is refused with 400 or 422, or answered; nothing else, and at once."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import pytest

from server.door.offer import OfferError, read
from tests.bad_input.offers import SDP, offer
from tests.bad_input.serving import Server

LONGEST_S = 3.0
REFUSED, ANSWERED = (400, 422), (201,)
EITHER = REFUSED + ANSWERED

Edit = Callable[[str], str | bytes]


def without(pattern: str) -> Edit:
    """All lines that begin with the pattern taken out."""
    return lambda sdp: re.sub(rf"^{pattern}.*\r\n", "", sdp, flags=re.MULTILINE)


def put(pattern: str, instead: str) -> Edit:
    """What matches replaced, everywhere."""
    return lambda sdp: re.sub(pattern, lambda _: instead, sdp, flags=re.MULTILINE)


def add(line: str, count: int = 1) -> Edit:
    """Lines added at the end."""
    return lambda sdp: sdp + f"{line}\r\n" * count


def video(sdp: str) -> str:
    return "m=video" + sdp.split("m=video")[1]


def head(sdp: str) -> str:
    return sdp.split("m=audio")[0]


REFUSALS: dict[str, Edit] = {
    "nothing": lambda sdp: "",
    "a newline": lambda sdp: "\n",
    "NULs": lambda sdp: "\0" * 99,
    "v only": lambda sdp: "v=0",
    "v=1": put("^v=0", "v=1"),
    "no v": without("v="),
    "a space first": lambda sdp: " " + sdp,
    "BOM": lambda sdp: b"\xef\xbb\xbf" + sdp.encode(),
    "UTF-16": lambda sdp: sdp.encode("utf-16"),
    "not UTF-8": lambda sdp: sdp.encode() + b"a=x:\xff\xfe\r\n",
    "JSON": lambda sdp: '{"type":"offer"}',
    "HTML": lambda sdp: "<html>",
    "no media": head,
    "head twice": lambda sdp: head(sdp) * 2,
    "reversed": lambda sdp: sdp[::-1],
    "lines reversed": lambda sdp: "\r\n".join(reversed(sdp.splitlines())),
    "m= cut short": put("^m=video .*$", "m=video"),
    "m= without a port": put("^m=video .*$", "m=video UDP/TLS/RTP/SAVPF 96"),
    "m= with a word as port": put(r"^m=video \d+", "m=video nine"),
    "m= with a huge port": put(r"^m=video \d+", "m=video " + "9" * 5000),
    "m= without formats": put("^(m=video \\d+ [A-Z/]+).*$", "m=video 9 UDP/TLS/RTP/SAVPF"),
    "formats as words": put("^m=video .*$", "m=video 9 UDP/TLS/RTP/SAVPF H264 VP8"),
    "formats out of range": put("^m=video .*$", "m=video 9 UDP/TLS/RTP/SAVPF 999 1000"),
    "65 formats": put("^m=video .*$", "m=video 9 UDP/TLS/RTP/SAVPF " + " ".join(map(str, range(65)))),
    "10,000 formats": put("^m=video .*$", "m=video 9 UDP/TLS/RTP/SAVPF " + "96 " * 10_000),
    "two videos": lambda sdp: sdp + video(sdp),
    "nine sections": lambda sdp: sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 8,
    "1,000 sections": lambda sdp: sdp + "m=x 9 x 0\r\n" * 1000,
    "no video": lambda sdp: sdp.split("m=video")[0],
    "video of another kind": put("^m=video", "m=VIDEO"),
    "AV1 and H265 only": lambda sdp: sdp.replace("VP8", "AV1").replace("H264", "H265"),
    "no rtpmap": without("a=rtpmap"),
    "rtpmap without a codec": put("^a=rtpmap:(\\d+) .*$", "a=rtpmap:96 "),
    "rtpmap without a clock": put("/90000", ""),
    "a clock of words": put("/90000", "/fast"),
    "H264 in mode 0": lambda sdp: sdp.replace("packetization-mode=1", "packetization-mode=0").replace("VP8", "VP7"),
    "no ice-ufrag": without("a=ice-ufrag"),
    "no ice-pwd": without("a=ice-pwd"),
    "no fingerprint": without("a=fingerprint"),
    "a fingerprint without a value": put("^a=fingerprint:sha-256 .*$", "a=fingerprint:sha-256"),
    "a fingerprint of words": put("^a=fingerprint:.*$", "a=fingerprint:sha-256 such a thing"),
    "an unknown hash": put("^a=fingerprint:sha-\\d+", "a=fingerprint:md17"),
    "33 candidates": add("a=candidate:1 1 udp 1 192.0.2.1 9 typ host", 33),
    "1,000 candidates": add("a=candidate:1 1 udp 1 192.0.2.1 9 typ host", 1000),
    "setup by another word": put("^a=setup:.*$", "a=setup:nobody"),
    "setup passive": put("^a=setup:actpass", "a=setup:holdconn"),
    "mids of two sections alike": put("^a=mid:.*$", "a=mid:0"),
}
"""What can be no session: 400 or 422."""

ODD: dict[str, Edit] = {
    "direction inactive": lambda sdp: sdp.replace("a=sendonly", "a=inactive").replace("a=recvonly", "a=inactive"),
    "LF only": lambda sdp: sdp.replace("\r\n", "\n"),
    "CR only": lambda sdp: sdp.replace("\r\n", "\r"),
    "blank lines": lambda sdp: sdp.replace("\r\n", "\r\n\r\n"),
    "no last newline": lambda sdp: sdp.rstrip(),
    "unknown attributes": add("a=x-unknown:1", 500),
    "unknown lines": add("z=0 0"),
    "lines without =": add("hello"),
    "a line of 40 kB": add("a=" + "x" * 40_000),
    "NUL in a line": add("a=x\0y"),
    "no o": without("o="),
    "no s": without("s="),
    "no t": without("t="),
    "no c": without("c="),
    "o cut short": put("^o=.*$", "o="),
    "o of words": put("^o=.*$", "o=- such a thing IN IP4 here"),
    "c of a name": put("^c=.*$", "c=IN IP4 evil.example"),
    "c multicast": put("^c=.*$", "c=IN IP4 224.0.0.1/127"),
    "c cut short": put("^c=.*$", "c="),
    "c IPv6 as 4": put("^c=.*$", "c=IN IP4 ::1"),
    "no mid": without("a=mid"),
    "no group": without("a=group"),
    "group of nobody": put("^a=group:.*$", "a=group:BUNDLE 7 8 9"),
    "group twice": add("a=group:BUNDLE 0 1"),
    "a long mid": put("^a=mid:1", "a=mid:" + "1" * 9000),
    "an empty mid": put("^a=mid:.*$", "a=mid:"),
    "no rtcp-mux": without("a=rtcp-mux"),
    "no setup": without("a=setup"),
    "no direction": without("a=(sendonly|recvonly)"),
    "sendrecv": lambda sdp: re.sub("a=(sendonly|recvonly)", "a=sendrecv", sdp),
    "sendonly and recvonly": add("a=sendonly\r\na=recvonly"),
    "port 0": put(r"^m=video \d+", "m=video 0"),
    "port 65536": put("^m=video \\d+", "m=video 65536"),
    "a port below 0": put("^m=video \\d+", "m=video -1"),
    "another profile": put("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
    "an empty ufrag": put("^a=ice-ufrag:.*$", "a=ice-ufrag:"),
    "a ufrag of 9 kB": put("^a=ice-ufrag:.*$", "a=ice-ufrag:" + "u" * 9000),
    "a ufrag with a space": put("^a=ice-ufrag:.*$", "a=ice-ufrag:a b c"),
    "a ufrag in UTF-8": put("^a=ice-ufrag:.*$", "a=ice-ufrag:ééééé"),
    "an empty pwd": put("^a=ice-pwd:.*$", "a=ice-pwd:"),
    "a pwd of 9 kB": put("^a=ice-pwd:.*$", "a=ice-pwd:" + "p" * 9000),
    "a pwd in UTF-8": put("^a=ice-pwd:.*$", "a=ice-pwd:" + "é" * 22),
    "ice-lite": lambda sdp: sdp.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"),
    "ice-options": add("a=ice-options:" + "x " * 999),
    "a fingerprint too short": put("^(a=fingerprint:sha-256) .*$", "a=fingerprint:sha-256 00:11"),
    "a fingerprint of no one": put("(?<=^a=fingerprint:sha-256 )[0-9A-F:]+", ":".join(["00"] * 32)),
    "1,000 fingerprints": add("a=fingerprint:sha-256 " + ":".join(["00"] * 32), 400),
    "two setups": add("a=setup:passive"),
    "extmap 0": add("a=extmap:0 urn:x"),
    "extmap 999": add("a=extmap:999 urn:x"),
    "extmap of words": add("a=extmap:x urn:x"),
    "extmap alone": add("a=extmap:"),
    "extmap twice": add("a=extmap:3 urn:x", 50),
    "rtcp-fb of nothing": add("a=rtcp-fb:"),
    "rtcp-fb of all": add("a=rtcp-fb:* nack x y z"),
    "rtcp-fb 999": add("a=rtcp-fb:999 nack"),
    "fmtp of nothing": add("a=fmtp:"),
    "fmtp 999": add("a=fmtp:999 x=1"),
    "fmtp of 8 kB": add("a=fmtp:97 " + "x=1;" * 2000),
    "fmtp without =": add("a=fmtp:97 apt"),
    "apt of itself": add("a=fmtp:98 apt=98"),
    "apt of words": add("a=fmtp:98 apt=x"),
    "ssrc alone": add("a=ssrc:"),
    "ssrc of words": add("a=ssrc:x cname:y"),
    "ssrc below 0": add("a=ssrc:-1 cname:x"),
    "ssrc of 40 bit": add("a=ssrc:999999999999 cname:x"),
    "500 ssrcs": add("a=ssrc:7 cname:x", 500),
    "ssrc-group of words": add("a=ssrc-group:FID x y"),
    "ssrc-group alone": add("a=ssrc-group:"),
    "ssrc-group FID of one": add("a=ssrc-group:FID 1"),
    "msid alone": add("a=msid:"),
    "simulcast": add("a=simulcast:send h;m;l"),
    "rids": add("a=rid:h send", 99),
    "rtcp of words": add("a=rtcp:x IN IP4 y"),
    "rtcp alone": add("a=rtcp:"),
    "a rtpmap twice": add("a=rtpmap:97 H264/90000"),
    "a rtpmap of 300": add("a=rtpmap:300 H264/90000"),
    "profile-level-id of words": put("profile-level-id=[0-9a-f]+", "profile-level-id=zzzzzz"),
    "profile-level-id too short": put("profile-level-id=[0-9a-f]+", "profile-level-id=42"),
    "no profile": put("profile-level-id=[0-9a-f]+", "x=1"),
    "profile 0": put("profile-level-id=[0-9a-f]+", "profile-level-id=000000"),
    "maxptime of words": add("a=maxptime:x"),
    "ptime -1": add("a=ptime:-1"),
    "sctp": lambda sdp: sdp + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:x\r\n",
    "sctp without a port": lambda sdp: sdp + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n",
    "sctp of words": lambda sdp: sdp + "m=application 9 DTLS/SCTP x\r\na=mid:2\r\na=sctpmap:x\r\n",
    "text": lambda sdp: sdp + "m=text 9 RTP/AVP 0\r\n",
    "bandwidth of words": add("b=AS:x"),
    "crypto": add("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
    "end-of-candidates": add("a=end-of-candidates", 99),
    "32 candidates": add("a=candidate:1 1 udp 1 192.0.2.1 9 typ host", 32),
    "identity": add("a=identity:" + "A" * 9000),
}
"""What may do or not; the answer tells which."""


def post(server: Server, path: str, body: str | bytes) -> int:
    began_s = time.monotonic()
    answer = server.ask("POST", path, body if isinstance(body, bytes) else body.encode(), Content_Type=SDP)
    assert time.monotonic() - began_s < LONGEST_S
    if answer.status == 201:
        session = answer.headers["Location"]
        assert server.ask("DELETE", session).status == 200
    else:
        assert answer.json()["detail"], "a refusal says why"
    return answer.status


WAYS = [("sendonly", "/whip/bad"), ("recvonly", "/whep/good/redacted")]


@pytest.mark.parametrize("edit", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(("direction", "path"), WAYS, ids=["whip", "whep"])
def test_refused(server: Server, direction: str, path: str, edit: Edit) -> None:
    assert post(server, path, edit(offer(direction))) in REFUSED


@pytest.mark.parametrize("edit", ODD.values(), ids=ODD)
@pytest.mark.parametrize(("direction", "path"), WAYS, ids=["whip", "whep"])
def test_odd(server: Server, direction: str, path: str, edit: Edit) -> None:
    assert post(server, path, edit(offer(direction))) in EITHER


def mutated(text: str, chance: random.Random) -> str:
    lines = text.splitlines()
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(lines))
        match chance.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, chance.choice(lines))
            case 2:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case 3:
                lines[at] = re.sub(r"\d+", lambda _: str(chance.choice([0, -1, 1 << 32, 1 << 64, 127])), lines[at])
            case _:
                line = list(lines[at] or "a")
                line[chance.randrange(len(line))] = chance.choice("\0 \t:;=/é-\x7f9Z")
                lines[at] = "".join(line)
        lines = lines or ["v=0"]
    return "\r\n".join(lines)


def test_mutated_offers_are_read_or_refused(tried: Callable[[int], None]) -> None:
    chance = random.Random(11)
    end_s, count = time.monotonic() + 3, 0
    while time.monotonic() < end_s and count < 5000:
        try:
            read(mutated(offer("sendonly"), chance), any_profile=count % 2 == 0)
        except OfferError:
            pass  # its status is one of two: the next test's matter
        count += 1
    tried(count)


def test_mutated_offers_over_http(server: Server, tried: Callable[[int], None]) -> None:
    chance = random.Random(12)
    end_s, count = time.monotonic() + 6, 0
    while time.monotonic() < end_s and count < 150:
        direction, path = WAYS[count % 2]
        assert post(server, path, mutated(offer(direction), chance)) in EITHER
        count += 1
    tried(count)
