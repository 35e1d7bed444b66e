import json
import re

import pytest

from bert_jax.data.manifest import read_manifest

TEXT = "\n".join(
    f"{line}\n" if number % 4 == 3 else line
    for number, line in enumerate(f"this is the sentence number {n} of a small text ." for n in range(40))
)
VOCAB = "[PAD] [UNK] [CLS] [SEP] [MASK] this is the sentence number of a small text . 1 2 3 4 5"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "vocab.txt").write_text(VOCAB.replace(" ", "\n") + "\n")
    return tmp_path


@pytest.fixture
def run(verbs):
    """run(directory of the files, *more, **flags) -> the finished process of build_records."""

    def run(directory, *more, **flags):
        given = {"input": directory / "text.txt", "vocab": directory / "vocab.txt", "output": directory / "records"}
        return verbs.run("build_records", *(f"--{name}={value}" for name, value in {**given, **flags}.items()), *more)

    return run


def test_records_and_what_is_said(run, files):
    result = run(files, "--whole_word_mask", max_seq_length=32, dupe_factor=3, holdout=0.3)
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(files / "records")
    assert manifest.max_seq_length == 32
    assert manifest.options["whole_word_mask"] is True
    assert set(manifest.splits) == {"train", "validation"}
    assert result.stderr.count("Example") == 5
    assert re.search(r"tokens: \[CLS\] .*this.*\n  segment_ids: 0 0 .* 1\n  masked_lm_positions: \d", result.stderr)
    assert re.search(r"next sentence: (random|the true one)", result.stderr)
    assert re.search(r"train: \d+ documents, .*unknown\); \d+ instances, .* filled", result.stderr)


def test_the_same_again(run, files):
    assert run(files).returncode == 0
    again = run(files)
    assert again.returncode == 0
    assert "complete; nothing to do" in again.stderr


def test_original_name_of_the_mask_flag(run, files):
    assert run(files, "--do_whole_word_mask").returncode == 0
    assert read_manifest(files / "records").options["whole_word_mask"] is True


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"input": "nowhere.txt"}, "--input nowhere.txt matches no file"),
        ({"vocab": "nowhere"}, "vocabulary nowhere does not exist"),
        ({"max_seq_length": 3}, "--max_seq_length=3 must be between 5 and"),
        ({"num_workers": 0}, "--num_workers=0 must be 1 or more"),
        ({"num_parts": 99}, "use --num_parts=5 or fewer"),
    ],
)
def test_mistakes_are_one_line(run, files, flags, message):
    result = run(files, **flags)
    assert result.returncode == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in error
    assert "Traceback" not in result.stderr
    assert not (files / "records").exists()


def test_text_that_the_vocabulary_does_not_know(run, files):
    (files / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nACG\nCGT\n")
    (files / "text.txt").write_text("ACG CGT\nCGT CGT\n\nCGT ACG\nACG ACG\n")
    strict = run(files, "--strict")
    assert strict.returncode == 1
    assert strict.stderr.splitlines()[-1] == (
        "error: --strict: 8 unknown words of which the vocabulary has capitals, and they are lower-cased, the first at "
        f"{files}/text.txt:1; give --nodo_lower_case, or an uncased vocabulary, or leave out --strict"
    )
    assert not (files / "records").exists()
    warned = run(files)
    assert warned.returncode == 0, warned.stderr
    assert "such as ACG, CGT (give --nodo_lower_case" in warned.stderr
    assert "100.0% of a sample's tokens are [UNK]" in warned.stderr
    assert "train: 100.0% of the tokens are [UNK]" in warned.stderr
    again = run(files, "--strict")
    assert again.stderr.splitlines()[-1] == strict.stderr.splitlines()[-1]
    good = run(files, "--strict", "--nodo_lower_case", output=files / "cased")
    assert good.returncode == 0, good.stderr
    assert "% of the tokens are [UNK]" not in good.stderr


@pytest.mark.slow
def test_a_cap_on_masked_words_that_takes_most_of_them(run, files):
    said = run(files, max_seq_length=512, dupe_factor=1).stderr
    assert (
        "--max_predictions_per_seq=20 masks at most 3.9% of a sequence of 512 tokens, where --masked_lm_prob=0.15 asks "
        "for 15.0%; give --max_predictions_per_seq=77" in said
    )
    assert said.index("masks at most") < said.index("Cutting")
    for output, flags in enumerate([{}, {"max_seq_length": 512, "max_predictions_per_seq": 76}]):
        assert "masks at most" not in run(files, output=files / str(output), dupe_factor=1, **flags).stderr


def test_a_finding_is_told_once_and_counted_at_the_end(run, files):
    (files / "text.txt").write_text(TEXT + "\n\nthis is\x0c the number\n" * 6)
    said = run(files, dupe_factor=1).stderr
    logged, summed_up = re.findall(r"suspicious input: .*control.*", said)
    where = f"{files}/text.txt:52, 55, 58 ..."
    assert logged == f"suspicious input: 6 documents with control characters (they are dropped from the text): {where}"
    assert summed_up.startswith(
        "suspicious input: 5 documents that came before; 6 documents with control characters; 20 unknown words with"
    )
    assert str(files) not in summed_up


def test_records_that_cannot_be_read_are_left_out_up_to_a_number(run, files):
    lines = [
        '{"text": "a sentence of text"}',
        '{"text": "a sentence of text',
        "",
        "[" * 100_000,
        '{"text": "the text"}',
    ]
    (files / "text.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"text": "\xff"}\n{"tekst": ""}')
    given = {"input": files / "text.jsonl", "dupe_factor": 1}
    refused = run(files, **given)
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith(f"error: {files}/text.jsonl, line 2 is not JSON (Unterminated string")
    assert last.endswith("or leave out up to N such records with --skip_bad_records=N")
    assert not (files / "records").exists()
    refused = run(files, skip_bad_records=3, **given)
    last = refused.stderr.splitlines()[-1]
    assert last.startswith(f"error: {files}/text.jsonl, line 7 has no field 'text' but tekst")
    assert last.endswith("--skip_bad_records=N, 3 were left out before")
    done = run(files, skip_bad_records=4, **given)
    assert done.returncode == 0, done.stderr
    assert f"left out: {files}/text.jsonl, line 4 is not JSON (nested too deeply)" in done.stderr
    assert f"left out: {files}/text.jsonl, line 6 is not UTF-8" in done.stderr
    report = json.loads((files / "records" / "records_report.json").read_text())
    places = [f"{files}/text.jsonl:{line}" for line in (2, 4, 6, 7)]
    assert report["input"]["dropped"] == {"bad records": {"count": 4, "places": places}}
    (files / "good.jsonl").write_text(lines[0] + "\n" + lines[-1] + "\n")
    run(files, input=files / "good.jsonl", output=files / "good", dupe_factor=1)
    shard = "bert-train.tfrecord-00000-of-00001"
    assert (files / "records" / shard).read_bytes() == (files / "good" / shard).read_bytes()


def test_a_plan_that_is_damaged_is_one_line(run, files):
    (files / "records" / ".parts").mkdir(parents=True)
    (files / "records" / ".parts" / "plan.json").write_text('{"plan": []}')
    done = run(files)
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: .*plan\.json is damaged .*; delete .*\.parts and run .* again", done.stderr.splitlines()[-1]
    )


def test_one_document(run, files):
    (files / "text.txt").write_text("a sentence\nanother one\n")
    result = run(files)
    assert result.returncode == 1
    assert "holds one document only" in result.stderr
    assert "blank lines" in result.stderr


def test_worker_ends_in_one_line_too(run, files):
    (files / "text.txt").write_text("a sentence\n\n\x01\n")
    result = run(files)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: train part 0 has 1 documents")
    assert "Traceback" not in result.stderr
