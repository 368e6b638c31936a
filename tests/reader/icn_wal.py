#!/usr/bin/env python3
"""Reads a log directory by docs/FORMAT.md alone.

Prints one JSON line per record. Exits with 1 and the name of the verdict when the log is corrupt.
Written from that page and from nothing else: where the two disagree, one of them is wrong.
"""

import json
import pathlib
import struct
import sys
import zlib

HEADER = 4096
FRAME = struct.Struct("<4sIIIQQQQIB11s")
DATA, NOTE, SEAL = 1, 2, 3


class Corrupt(Exception):
    pass


def twin(raw, magic):
    """The content of a twin file: the first copy that is valid, at the start or in the middle."""
    for start in (0, len(raw) // 2):
        copy = raw[start:]
        if len(copy) < 16 or copy[:8] != magic:
            continue
        form, length = struct.unpack_from("<II", copy, 8)
        end = 16 + length
        if len(copy) < end + 4 or zlib.crc32(copy[:end]) != struct.unpack_from("<I", copy, end)[0]:
            continue
        if form != 0:
            raise SystemExit(f"newer format {form}")
        return copy[16:end]
    return None


def header(raw, store, number):
    if len(raw) < HEADER or raw[:8] != b"ICNWAL\0\0":
        raise Corrupt("SegmentHeaderDamaged")
    if zlib.crc32(raw[:508]) != struct.unpack_from("<I", raw, 508)[0]:
        raise Corrupt("SegmentHeaderDamaged")
    if struct.unpack_from("<I", raw, 8)[0] != 0 or struct.unpack_from("<I", raw, 124)[0] != 4096:
        raise SystemExit("another format")
    if raw[16:32] != store:
        raise Corrupt("SegmentForeign")
    names = "number incarnation lsn frame previous previous_end previous_lsn".split()
    fields = dict(zip(names, struct.unpack_from("<7Q", raw, 32)))
    fields["salt"] = raw[88:104]
    fields["time"], fields["size"] = struct.unpack_from("<QQ", raw, 104)
    if fields["number"] != number:
        raise Corrupt("SegmentHeaderDamaged")
    return fields


def frame(raw, at, salt, whole=True):
    """The frame at an offset: its fields, its records' bytes, where the next one starts; or None.
    With `whole` unset only its header is looked at."""
    if at + 64 > len(raw):
        return None
    magic, head_crc, length, count, lsn, number, durable, time, body_crc, kind, zeros = (
        FRAME.unpack_from(raw, at)
    )
    seed = zlib.crc32(salt + struct.pack("<Q", at))
    if magic != b"ICNf" or zlib.crc32(raw[at + 8 : at + 64], seed) != head_crc:
        return None
    if length > 5 << 20 or kind not in (DATA, NOTE, SEAL) or any(zeros) or durable > at:
        return None
    fields = {"lsn": lsn, "number": number, "durable": durable, "time": time, "kind": kind}
    fields["count"] = count
    if not whole:
        return fields, None, None
    unit = 4096 if kind == DATA else 8
    end = (at + 64 + length + unit - 1) // unit * unit
    if end > len(raw) or zlib.crc32(raw[at + 64 : end], seed) != body_crc:
        return None
    return fields, raw[at + 64 : at + 64 + length], end


def records(fields, body):
    at, found = 0, []
    while at < len(body):
        length = struct.unpack_from("<I", body, at)[0] if at + 4 <= len(body) else len(body)
        if length > 1 << 20 or at + 4 + length > len(body):
            raise Corrupt("RecordsMalformed")
        found.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    if len(found) != fields["count"]:
        raise Corrupt("RecordsMalformed")
    return found


def holds_frames(raw):
    if len(raw) < HEADER:
        return False
    if zlib.crc32(raw[:508]) != struct.unpack_from("<I", raw, 508)[0]:
        return any(raw[HEADER:])
    at = raw.find(b"ICNf", HEADER)
    while at >= 0:
        if at % 8 == 0 and frame(raw, at, raw[88:104], whole=False):
            return True
        at = raw.find(b"ICNf", at + 1)
    return False


def is_history(raw):
    """Frames, or a header that says that records came before."""
    if len(raw) < HEADER or zlib.crc32(raw[:508]) != struct.unpack_from("<I", raw, 508)[0]:
        return False
    return struct.unpack_from("<Q", raw, 48)[0] > 1 or holds_frames(raw)


def read(directory):
    files = {}
    for path in directory.iterdir():
        stem = path.name.removesuffix(".wal")
        if path.name.endswith(".wal") and len(stem) == 20 and stem.isascii() and stem.isdigit():
            files[int(stem)] = path.read_bytes()
    manifest = directory / "MANIFEST"
    content = twin(manifest.read_bytes(), b"ICNWALM\0") if manifest.exists() else None
    if content is None or len(content) != 72:
        if manifest.exists() or any(map(is_history, files.values())):
            raise Corrupt("ManifestDamaged")
        return
    store = content[:16]
    _, oldest, newest, clean_segment, clean_end, _, _ = struct.unpack_from("<7Q", content, 16)

    for number, raw in files.items():
        if number > newest and holds_frames(raw):
            raise Corrupt("SegmentNewerThanManifest")
    headers = {
        number: header(raw, store, number)
        for number, raw in sorted(files.items())
        if oldest <= number <= newest
    }
    if oldest == newest == 0:
        return
    chain, number = [], newest
    while number >= oldest and number > 0:
        if number not in headers:
            raise Corrupt("SegmentMissing")
        chain.append(number)
        number = headers[number]["previous"]
    if not chain or chain[-1] != oldest:
        raise Corrupt("SegmentMissing")
    chain.reverse()
    for number in headers:
        if number not in chain and holds_frames(files[number]):
            raise Corrupt("SegmentUnlinked")

    lsn, number, time = 0, 0, 0
    for index, segment in enumerate(chain):
        raw, head = files[segment], headers[segment]
        after = headers[chain[index + 1]] if index + 1 < len(chain) else None
        if not (after["previous_end"] if after else head["size"]) <= len(raw) <= head["size"]:
            raise Corrupt("SegmentResized")
        if head["lsn"] < lsn or head["frame"] < number:
            raise Corrupt("OutOfSequence")
        lsn, number, time = head["lsn"], head["frame"], max(time, head["time"])
        at, sealed, durable = HEADER, False, 0
        while not (sealed and after is None):
            valid = frame(raw[: after["previous_end"]] if after else raw, at, head["salt"])
            if valid is None:
                break
            fields, body, end = valid
            if (fields["lsn"], fields["number"]) != (lsn, number) or fields["time"] < time:
                raise Corrupt("OutOfSequence")
            if sealed or fields["durable"] < durable:
                raise Corrupt("OutOfSequence")
            for record in records(fields, body):
                yield {"lsn": lsn, "time": fields["time"], "hex": record.hex()}
                lsn += 1
            number, time, durable = number + 1, fields["time"], fields["durable"]
            at, sealed = end, fields["kind"] == SEAL
        if after is not None:
            if at != after["previous_end"]:
                raise Corrupt("DamagedBeforeSuccessor")
        elif not sealed:
            if clean_segment == segment and at < clean_end:
                raise Corrupt("DamagedBeforeCleanStop")
            for behind in range(at, len(raw) - 63, 8):
                if raw[behind : behind + 4] == b"ICNf":
                    mark = frame(raw, behind, head["salt"], whole=False)
                    if mark and mark[0]["number"] >= number and mark[0]["durable"] > at:
                        raise Corrupt("DamagedBeforeDurableMark")


def main():
    try:
        for record in read(pathlib.Path(sys.argv[1])):
            print(json.dumps(record))
    except Corrupt as verdict:
        print(verdict, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
