"""A SentencePiece .model file, read: the pieces and the settings that an export needs.

The file is a protobuf message (google/sentencepiece src/sentencepiece_model.proto). The package has generated code for
it, which demands a protobuf as new as the one it was generated with; the few fields of interest are declared here, so
that any protobuf will do. Fields that are not declared are passed over.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

UNIGRAM = 1  # TrainerSpec.model_type
USER_DEFINED = 4  # SentencePiece.type

_Field = descriptor_pb2.FieldDescriptorProto
# Message -> field -> number, type and default, as in the .proto.
_FIELDS: dict[str, dict[str, tuple[int, Any, str]]] = {
    "SentencePiece": {
        "piece": (1, _Field.TYPE_STRING, ""),
        "score": (2, _Field.TYPE_FLOAT, "0"),
        "type": (3, _Field.TYPE_INT32, "1"),
    },
    "TrainerSpec": {
        "model_type": (3, _Field.TYPE_INT32, "1"),
        "byte_fallback": (35, _Field.TYPE_BOOL, "false"),
    },
    "NormalizerSpec": {
        "precompiled_charsmap": (2, _Field.TYPE_BYTES, ""),
        "add_dummy_prefix": (3, _Field.TYPE_BOOL, "true"),
        "remove_extra_whitespaces": (4, _Field.TYPE_BOOL, "true"),
    },
}
_MODEL = {"pieces": (1, "SentencePiece"), "trainer_spec": (2, "TrainerSpec"), "normalizer_spec": (3, "NormalizerSpec")}


def read_model(content: bytes) -> Any:
    """The message ModelProto: pieces (piece, score, type), trainer_spec and normalizer_spec with the fields above."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_declaration())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bert_jax.ModelProto")).FromString(content)


def _declaration() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="model_read.proto", package="bert_jax", syntax="proto2")
    for message, fields in _FIELDS.items():
        declared = file.message_type.add(name=message)
        for name, (number, kind, default) in fields.items():
            declared.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL, default_value=default)
    model = file.message_type.add(name="ModelProto")
    for name, (number, message) in _MODEL.items():
        label = _Field.LABEL_REPEATED if name == "pieces" else _Field.LABEL_OPTIONAL
        model.field.add(
            name=name, number=number, type=_Field.TYPE_MESSAGE, label=label, type_name=f".bert_jax.{message}"
        )
    return file
