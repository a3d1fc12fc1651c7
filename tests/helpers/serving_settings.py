"""Settings of TensorFlow Serving in `launch/`, read with the messages that its binary uses."""

import pathlib
import re

import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from tests.helpers.small_runs import ROOT

KIT = ROOT / "launch" / "serving"
SCRIPT = ROOT / "launch" / "serve.sh"


def message_class(name: str, **messages: dict[str, str]):
    """A class of a protobuf message that TensorFlow Serving's Python package does not define.

    Args:
        name: name of the message.
        messages: {message: {field: kind}}; "repeated int64", "Int64Value", …
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="kit", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for number, (field_name, kind) in enumerate(fields.items(), 1):
            *label, kind = kind.split()
            field = message.field.add(name=field_name, number=number)
            field.label = kinds.LABEL_REPEATED if label else kinds.LABEL_OPTIONAL
            if kind.islower():
                field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
            else:
                inside = "kit" if kind in messages else "google.protobuf"
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{inside}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"kit.{name}"))


def batching(folder: pathlib.Path = KIT):
    # tensorflow_serving/servables/tensorflow/session_bundle_config.proto
    numbers = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches")
    fields = dict.fromkeys((*numbers, "num_batch_threads"), "Int64Value")
    fields |= {"thread_pool_name": "StringValue", "allowed_batch_sizes": "repeated int64"}
    fields["pad_variable_length_inputs"] = "bool"
    kind = message_class("BatchingParameters", BatchingParameters=fields)
    return text_format.Parse((folder / "batching.config").read_text(), kind())


def monitoring():
    # tensorflow_serving/config/monitoring_config.proto
    kind = message_class(
        "MonitoringConfig",
        MonitoringConfig={"prometheus_config": "PrometheusConfig"},
        PrometheusConfig={"enable": "bool", "path": "string"},
    )
    return text_format.Parse((KIT / "monitoring.config").read_text(), kind())


def model(folder: pathlib.Path = KIT):
    text = (folder / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (only,) = config.model_config_list.config
    return only


def kubernetes() -> dict[str, dict]:
    with open(KIT / "kubernetes.yaml", encoding="utf-8") as file:
        return {document["kind"]: document for document in yaml.safe_load_all(file)}


def container() -> dict:
    (only,) = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return only


def server_flags(text: str) -> list[str]:
    """Flags of the server's command line, without those of ports."""
    return re.findall(
        r'--(?:model|file_system|enable|batching|monitoring|rest_api)_\S*=[^\s)"]+', text
    )
