"""Settings of TensorFlow Serving in `launch/serving`: valid, and in agreement with each other."""

import pytest
from google.protobuf import text_format

from tests.helpers.serving_settings import (
    KIT,
    SCRIPT,
    batching,
    container,
    kubernetes,
    model,
    monitoring,
    server_flags,
)
from tf_mdsm.config import default_config


def test_the_model_is_served_in_its_newest_version():
    assert model().name == "tf_mdsm"
    assert model().model_platform == "tensorflow"
    assert model().model_version_policy.latest.num_versions == 1


def test_batch_sizes_agree_with_the_export():
    settings = batching()
    limit = default_config().export.max_batch_size
    assert settings.max_batch_size.value == limit
    sizes = list(settings.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)), "the server requires ascending sizes"
    assert sizes[-1] == limit, "the server requires the largest size among them"
    assert sizes[0] == 1
    assert settings.num_batch_threads.value >= 2
    assert not settings.pad_variable_length_inputs
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch { value: 3 }", type(settings)())


def test_monitoring_is_on():
    assert monitoring().prometheus_config.enable


def test_kubernetes_agrees_with_the_script_and_the_settings():
    documents, server = kubernetes(), container()
    pod = documents["Deployment"]["spec"]["template"]
    script = SCRIPT.read_text()
    assert sorted(server["args"]) == sorted(server_flags(script))
    assert f"image={server['image']} " in script
    probe = server["startupProbe"]
    assert f"patience={probe['periodSeconds'] * probe['failureThreshold']}\n" in script

    mounts = {mount["mountPath"]: mount for mount in server["volumeMounts"]}
    assert mounts[model().base_path]["readOnly"]
    assert f"target={model().base_path},readonly".replace("tf_mdsm", "$model") in script
    folder = "/etc/tf_serving"
    assert mounts[folder]["readOnly"]
    assert f"target={folder},readonly" in script
    for flag in server["args"]:
        if flag.endswith(".config"):
            name = flag.rsplit("/", 1)[1]
            assert flag.endswith(f"={folder}/{name}")
            assert (KIT / name).is_file()
            assert f"launch/serving/{name}" in (KIT / "kubernetes.yaml").read_text()
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert volumes == {mount["name"] for mount in server["volumeMounts"]}

    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[kind]["httpGet"] == {"path": f"/v1/models/{model().name}", "port": "rest"}
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == monitoring().prometheus_config.path
    assert annotations["prometheus.io/port"] == str(ports["rest"])
    assert monitoring().prometheus_config.path in script


def test_kubernetes_service_and_safety():
    documents, server = kubernetes(), container()
    pod, service = documents["Deployment"]["spec"]["template"], documents["Service"]["spec"]
    assert service["selector"] == pod["metadata"]["labels"]
    assert documents["Deployment"]["spec"]["selector"]["matchLabels"] == service["selector"]
    assert service["type"] == "ClusterIP"
    assert {(p["port"], p["targetPort"]) for p in service["ports"]} == {
        (8500, "grpc"),
        (8501, "rest"),
    }
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert pod["spec"]["securityContext"]["runAsUser"] > 0
    assert server["securityContext"]["readOnlyRootFilesystem"]
    assert not server["securityContext"]["allowPrivilegeEscalation"]
    assert set(server["resources"]["limits"]) == {"cpu", "memory"}
