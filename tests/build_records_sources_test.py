"""What records can be made of, command by command: every source, bare ids, and text in many scripts."""

import bz2
import json
import re
import unicodedata

import pytest

from bert_jax.data.manifest import read_manifest
from bert_jax.data.source import RecordSource
from bert_jax.text.load_tokenizer import load_tokenizer

pytestmark = pytest.mark.timeout(600)


def build(chain, output, *flags, check=True):
    sizes = ["--max_seq_length=32", "--max_predictions_per_seq=6", "--dupe_factor=2", "--num_workers=1"]
    given = [flag for flag in sizes if flag.split("=")[0] not in {other.split("=")[0] for other in flags}]
    return chain.run("build_records", f"--output={output}", *given, *flags, check=check)


def shards(directory):
    return {path.name: path.read_bytes() for path in directory.glob("*.tfrecord*")}


def unmasked(directory, split="train"):
    """The tokens of each record before any was masked, without [CLS], [SEP] and padding, in two segments."""
    source, tokenizer = RecordSource(directory, split), load_tokenizer(directory / "tokenizer")
    for number in range(len(source)):
        record = source[number]
        tokens = record["input_ids"].copy()
        weights = record["masked_lm_weights"] > 0
        tokens[record["masked_lm_positions"][weights]] = record["masked_lm_ids"][weights]
        tokens = tokens[: record["input_mask"].sum()].tolist()
        middle = tokens.index(tokenizer.sep_id)
        assert (tokens[0], tokens[-1]) == (tokenizer.cls_id, tokenizer.sep_id)
        yield tokens[1:middle], tokens[middle + 1 : -1]


@pytest.fixture(scope="module")
def plain(chain, tmp_path_factory):
    """Records of the chain's corpus as plain text, and the corpus' documents."""
    output = tmp_path_factory.mktemp("plain") / "records"
    done = build(chain, output, f"--input={chain.corpus}", f"--vocab={chain.vocab}")
    documents = [document.split("\n") for document in chain.corpus.read_text().strip().split("\n\n")]
    return output, documents, done.stderr


def test_json_lines_give_the_records_of_plain_text(chain, plain, tmp_path):
    output, documents, _ = plain
    lines = [json.dumps({"body": "\n".join(document)}) for document in documents]
    (tmp_path / "corpus.jsonl.bz2").write_bytes(bz2.compress("\n".join(lines).encode()))
    flags = [f"--input={tmp_path}/*.jsonl.bz2", "--text_field=body"]
    build(chain, tmp_path / "records", *flags, f"--vocab={chain.vocab}")
    assert shards(tmp_path / "records") == shards(output)
    vocabulary = ["--kind=wordpiece", "--vocab_size=800"]
    chain.run("build_vocab", *flags, f"--output={tmp_path}/vocab", *vocabulary)
    assert (tmp_path / "vocab" / "vocab.txt").read_bytes() == (chain.vocab / "vocab.txt").read_bytes()
    done = build(chain, tmp_path / "records", flags[0], f"--vocab={chain.vocab}", check=False)
    assert done.returncode == 1
    assert "holds records of other text than --input" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_wiki_dump_gives_the_records_of_its_plain_text(chain, plain, tmp_path):
    prose = [[line for line in document if re.fullmatch(r"[A-Z][A-Za-z ,]+[.]?", line)] for document in plain[1]]
    prose = [document for document in prose if len(document) > 1]
    assert len(prose) > 20
    (tmp_path / "plain.txt").write_text("\n\n".join("\n".join(document) for document in prose) + "\n")
    marked_up = (
        "{{Box|x}}\n" + "\n== Part ==\n".join(f"'''{line[:3]}'''{line[3:]}<ref>x</ref>" for line in document)
        for document in prose
    )
    texts = (text.replace("<", "&lt;") for text in marked_up)
    pages = "".join(
        f"<page><title>T</title><ns>0</ns><revision><text>{text}</text></revision></page>" for text in texts
    )
    (tmp_path / "wiki.xml").write_text(f"<mediawiki>{pages}</mediawiki>")
    for name in ("wiki.xml", "plain.txt"):
        flags = ["--num_workers=2", f"--input={tmp_path}/{name}", f"--vocab={chain.vocab}"]
        said = build(chain, tmp_path / "records" / name, *flags).stderr
        assert ("wiki.xml is a paragraph, and pairs are made of lines" in said) == (name == "wiki.xml")
    assert shards(tmp_path / "records" / "wiki.xml") == shards(tmp_path / "records" / "plain.txt")
    report = json.loads((tmp_path / "records" / "wiki.xml" / "records_report.json").read_text())
    assert report["input"]["templates_left_out"] == {"box": len(prose)}
    flags = ["--split_sentences", f"--input={tmp_path}/wiki.xml", f"--vocab={chain.vocab}"]
    assert "is a paragraph" not in build(chain, tmp_path / "split", *flags).stderr


def test_pairs_that_are_mostly_random_are_told(chain, tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join(f"Paragraph {n} is a whole text of its own." for n in range(40)) + "\n")
    said = build(chain, tmp_path / "records", f"--input={tmp_path}/a.txt", f"--vocab={chain.vocab}").stderr
    assert re.search(r"train: 100% of the pairs are of two documents, where half is meant: .*--split_sentences", said)


def test_the_report_counts_what_the_records_hold(plain):
    output, documents, said = plain
    report = json.loads((output / "records_report.json").read_text())
    counts = report["splits"]["train"]
    source = RecordSource(output, "train")
    records = [source[number] for number in range(len(source))]
    lengths = [int(record["input_mask"].sum()) for record in records]
    assert counts["instances"] == len(records) == sum(counts["fill"])
    assert counts["fill"] == [sum(n * 32 < 20 * length <= (n + 1) * 32 for length in lengths) for n in range(20)]
    assert counts["filled_share"] == round(sum(lengths) / len(records) / 32, 6)
    random_next = sum(int(record["next_sentence_labels"][0]) for record in records)
    assert counts["random_next_share"] == round(random_next / len(records), 6)
    assert 0.77 < counts["masked_share"] < 0.83
    assert counts["masked_share"] + counts["kept_share"] + counts["replaced_share"] == pytest.approx(1, abs=3e-6)
    assert report["input"]["documents_read"] == len(documents) == counts["documents"]
    tokenizer = load_tokenizer(output / "tokenizer")
    tokens = [sum(len(tokenizer.encode(line)) for line in document) for document in documents]
    assert (counts["longest_document"], counts["shortest_document"]) == (max(tokens), min(tokens))
    bars = re.findall(r"^ +(\d+)-(\d+) tokens +([\d.]+)%( #+)?$", said, re.MULTILINE)
    assert len(bars) == 20
    assert sum(float(share) for _, _, share, _ in bars) == pytest.approx(100, abs=1)
    assert max(bars, key=lambda bar: float(bar[2]))[3] == " " + 40 * "#"
    assert re.search(r"cutting: \d+ documents, [\d.]+ MB of text, [\d.]+ MB/s", said)


def test_suspicious_input_is_told_and_strict_stops(chain, tmp_path):
    (tmp_path / "a.txt").write_text("One here.\n\nTwo here.\n\nThree\x0c here.\n\nOne here.\n")
    flags = [f"--input={tmp_path}/a.txt", f"--vocab={chain.vocab}"]
    strict = build(chain, tmp_path / "strict", *flags, "--strict", check=False)
    assert strict.returncode == 1
    assert strict.stderr.splitlines()[-1] == (
        f"error: --strict: 4 documents of one sentence, the first at {tmp_path}/a.txt:1, and 2 other kinds of "
        "suspicious input; fix the text, or leave out --strict"
    )
    assert not (tmp_path / "strict").exists()
    warned = build(chain, tmp_path / "records", *flags)
    assert "1 documents that came before" in warned.stderr
    assert f"{tmp_path}/a.txt:7" in warned.stderr
    report = json.loads((tmp_path / "records" / "records_report.json").read_text())
    places = {kind: found["places"] for kind, found in report["input"]["suspicious"].items()}
    assert places["documents with control characters"] == [f"{tmp_path}/a.txt:5"]
    # The same records are there; whoever asks now gets them too.
    again = build(chain, tmp_path / "records", *flags, "--strict", check=False)
    assert again.stderr.splitlines()[-1] == strict.stderr.splitlines()[-1]


MOLECULES = "ids:64,pad=59,unk=60,cls=61,sep=62,mask=63"


@pytest.mark.slow
def test_from_ids_to_exported_weights(chain, tmp_path):
    documents = [[[(7 * d + 3 * s + t) % 59 for t in range(5 + s)] for s in range(6)] for d in range(40)]
    text = "\n\n".join("\n".join(" ".join(map(str, line)) for line in document) for document in documents)
    (tmp_path / "ids.txt").write_text(text + "\n")
    (tmp_path / "ids.jsonl").write_text("\n".join(json.dumps({"text": document}) for document in documents))
    for name in ("txt", "jsonl"):
        flags = [f"--input={tmp_path}/ids.{name}", f"--vocab={MOLECULES}", "--holdout=0.1", "--strict"]
        build(chain, tmp_path / name, *flags)
    records = tmp_path / "txt"
    assert shards(records) == shards(tmp_path / "jsonl")
    flat = [" ".join(str(token) for line in document for token in line) for document in documents]
    for first, second in unmasked(records):
        for segment in (first, second):
            assert any(" ".join(map(str, segment)) in document for document in flat)
    workdir = tmp_path / "run"
    chain.pretrain(workdir, f"--config.data.records={records}")
    scores = chain.run("evaluate", f"--workdir={workdir}", f"--records={records}")
    assert "masked_lm" in scores.stdout + scores.stderr
    assert (workdir / "report.html").exists()
    done = chain.run("export", f"--workdir={workdir}", "--format=huggingface", f"--output={tmp_path}/export")
    assert "there is no tokenizer to export" in done.stderr
    assert (tmp_path / "export" / "ids.json").exists()
    assert not (tmp_path / "export" / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("1 2\n3\n\n4 64\n", [], r"ids\.txt:4: '64' is no id from 0 to 63"),
        ("1 2\n\n3\n4 61 5\n", [], r"ids\.txt:4: 61 is the id of cls"),
        ("1 2\n\n3\nC C O\n", [], r"ids\.txt:4: 'C' is no id"),
        ("1 2\n\n3\n", ["--whole_word_mask"], r"--whole_word_mask needs words"),
    ],
)
def test_wrong_ids_are_one_line_with_their_place(chain, tmp_path, text, flags, message):
    (tmp_path / "ids.txt").write_text(text)
    given = [f"--input={tmp_path}/ids.txt", f"--vocab={MOLECULES}", *flags]
    done = build(chain, tmp_path / "records", *given, check=False)
    assert done.returncode == 1
    assert re.search(rf"^error: .*{message}", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "records").exists()


SCRIPTS = {
    "Chinese": ["机器学习是人工智能的一个分支。", "它研究计算机怎样模拟人类的学习行为。", "数据越多，模型越好。"],
    "Japanese": ["東京は日本の首都です。", "ガイドブックをカバンに入れました。", "ひらがなとカタカナがあります。"],
    "Arabic": ["اللُّغَةُ العَرَبِيَّةُ جميلة.", "يكتب النص من اليمين إلى اليسار.", "قال: «مرحبا» ثم ذهب."],
    "Hebrew": ["שָׁלוֹם עוֹלָם, מה שלומך?", "העברית נכתבת מימין לשמאל.", "זה משפט שלישי."],
    "Hindi": ["हिन्दी देवनागरी लिपि में लिखी जाती है।", "क्षेत्र और ज्ञान कठिन शब्द हैं।", "यह तीसरा वाक्य है।"],
    "Mixed": ["Ångström café naïve Straße ÎLE.", "The word שלום means peace, 平和 too.", "Ends with 😀 and é."],
}


def pieces_of(text, lowercase):
    """What is left of a text in WordPiece's tokens: no spaces and, uncased, no capitals and no marks."""
    if lowercase:
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(character for character in text if unicodedata.category(character) != "Mn")
    return "".join(text.split())


@pytest.mark.parametrize(("kind", "lowercase"), [("wordpiece", False), ("wordpiece", True), ("bpe", False)])
def test_every_script_is_in_the_records_as_it_was(chain, tmp_path, kind, lowercase):
    (tmp_path / "text.txt").write_text("\n\n".join("\n".join(lines) for lines in SCRIPTS.values()), encoding="utf-8")
    flags = [f"--input={tmp_path}/text.txt", f"--output={tmp_path}/vocab", f"--kind={kind}"]
    case = "--lowercase" if lowercase else "--nolowercase"
    most = chain.run("build_vocab", *flags, "--vocab_size=9999", case, check=False).stderr
    size = int(re.search(r"ask for (\d+) or less", most)[1])
    chain.run("build_vocab", *flags, f"--vocab_size={size}", case)
    output = tmp_path / "records"
    strict = [] if lowercase else ["--strict"]  # letters that go with the accents are a finding
    build(chain, output, flags[0], f"--vocab={tmp_path}/vocab", "--max_seq_length=512", *strict)
    tokenizer = load_tokenizer(output / "tokenizer")
    found = set()
    for segment in (segment for record in unmasked(output) for segment in record):
        assert tokenizer.unk_id not in segment
        if kind == "bpe":
            text, sep = tokenizer.decode(segment).strip(), " "
        else:
            text, sep = "".join(tokenizer.tokens[token].removeprefix("##") for token in segment), ""
        whole = {
            name: sep.join(pieces_of(line, lowercase) if kind == "wordpiece" else line for line in lines)
            for name, lines in SCRIPTS.items()
        }
        (name,) = [name for name, document in whole.items() if text in document]
        found.add(name)
    assert found == set(SCRIPTS)
    counts = read_manifest(output).statistics["train"]
    assert (counts["sentences"], counts["unknown_tokens"]) == (3 * len(SCRIPTS), 0)
