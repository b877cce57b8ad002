#!/usr/bin/env python3
"""Compares our ECG importer with independent readers, sample by sample.

Every WFDB record and DICOM ECG below the given folder is read by `ecg_dump`
(node/ecg/examples) and by `wfdb` or `pydicom`. Lead names, sampling rate, sample
count, BLAKE3 over all digital values, gain and baseline must be equal. A record
with beat annotations is also compared beat by beat (within 150 ms), and two
generated ECGs are written as DICOM and read by `pydicom`.

Usage:  python3 -m venv v && v/bin/pip install pydicom wfdb numpy blake3
        cargo build --release -p aidmesh-ecg --examples
        v/bin/python tests/interop/judge_ecg.py ECG_DUMP FOLDER
Exit code 0 if everything is equal.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
from fractions import Fraction

import blake3
import numpy as np
import pydicom
import wfdb

STANDARD = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def ours(dump, *arguments):
    done = subprocess.run([dump, *map(str, arguments)], capture_output=True, check=True)
    return json.loads(done.stdout)


def digest(rows):
    """BLAKE3 over samples as 32-bit little endian, lead after lead."""
    return blake3.blake3(np.ascontiguousarray(rows, dtype="<i4").tobytes()).hexdigest()


def standard_name(name):
    return next((known for known in STANDARD if known.lower() == name.lower()), name)


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: ours {found}, theirs {wanted}")


def judge_wfdb(dump, header):
    record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
    mine = ours(dump, header)
    rows = record.d_signal.T
    expect("rate", Fraction(*mine["rate"]), Fraction(str(record.fs)))
    expect("samples", mine["n"], record.sig_len)
    expect("leads", [lead["name"] for lead in mine["leads"]], [standard_name(n) for n in record.sig_name])
    sums = [int(row.astype(np.int64).sum()) for row in rows]
    expect("sums", [lead["sum"] for lead in mine["leads"]], sums)
    expect("blake3", mine["blake3"], digest(rows))
    expect("baseline", [lead["zero"] for lead in mine["leads"]], record.baseline)
    for lead, gain in zip(mine["leads"], record.adc_gain):
        expect("gain", float(1000 / Fraction(*lead["lsb_uv"])), gain)
    return f"{len(rows)} leads x {record.sig_len} at {record.fs} Hz{judge_beats(header, record, mine)}"


def judge_beats(header, record, mine):
    if not header.with_suffix(".atr").exists():
        return ""
    notes = wfdb.rdann(str(header.with_suffix("")), "atr")
    beats = [s for s, symbol in zip(notes.sample, notes.symbol) if symbol in "NLRBAaJSVrFejnE/fQ?"]
    found = np.array(mine["measured"]["r_peaks"])
    near = 0.150 * record.fs
    hit = sum(1 for beat in beats if len(found) and np.abs(found - beat).min() <= near)
    right = sum(1 for peak in found if np.abs(np.array(beats) - peak).min() <= near)
    sensitivity, precision = hit / len(beats), right / max(len(found), 1)
    return f"; beats {len(beats)}, Se {100 * sensitivity:.2f} %, PPV {100 * precision:.2f} %"


def judge_dicom(path, mine):
    data = pydicom.dcmread(path)
    group = data.WaveformSequence[0]
    raw = np.frombuffer(group.WaveformData, dtype="<i2")
    rows = raw[: group.NumberOfWaveformChannels * group.NumberOfWaveformSamples]
    rows = rows.reshape(-1, group.NumberOfWaveformChannels).T
    names = [c.ChannelSourceSequence[0].CodeMeaning for c in group.ChannelDefinitionSequence]
    names = [standard_name(name.replace("Lead ", "").split(" (")[0]) for name in names]
    expect("rate", Fraction(*mine["rate"]), Fraction(str(group.SamplingFrequency)))
    expect("samples", mine["n"], group.NumberOfWaveformSamples)
    expect("leads", [lead["name"] for lead in mine["leads"]], names)
    expect("blake3", mine["blake3"], digest(rows))
    physical = data.waveform_array(0).T
    for lead, row, uv in zip(mine["leads"], rows, physical):
        lsb, offset = Fraction(*lead["lsb_uv"]), Fraction(*lead["offset_uv"])
        expect("uV", float(lsb * int(row[0]) + offset), float(uv[0]))
        if np.abs(row * float(lsb) + float(offset) - uv).max() > 1e-9:
            raise AssertionError("microvolts differ")
    return f"{data.SOPClassUID.name}: {len(names)} leads x {mine['n']} at {group.SamplingFrequency} Hz"


def main(dump, folder):
    failures = 0
    cases = [(path, lambda p: judge_wfdb(dump, p)) for path in sorted(folder.rglob("*.hea"))]
    cases += [(path, lambda p: judge_dicom(p, ours(dump, p))) for path in sorted(folder.rglob("*.dcm"))]
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("sinus", "inferior"):
            out = pathlib.Path(scratch) / f"{kind}.dcm"
            mine = ours(dump, "--generate", kind, 1, out)
            cases.append((out, lambda p, mine=mine: judge_dicom(p, mine)))
        for path, judge in cases:
            try:
                print(f"equal   {path.name}: {judge(path)}")
            except AssertionError as difference:
                failures += 1
                print(f"DIFFERS {path.name}: {difference}")
    print(f"{len(cases) - failures} of {len(cases)} equal")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
