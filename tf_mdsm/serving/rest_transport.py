"""Connection to TensorFlow Serving by REST, JSON over HTTP. It does not import TensorFlow."""

import http.client
import json
from typing import Any
from urllib.parse import quote

import numpy as np
import requests
import urllib3.exceptions

from tf_mdsm.errors import ServingError
from tf_mdsm.serving.transport import Transport, VersionStatus, clean_message

__all__ = ["RestTransport"]

_TIMEOUTS = (TimeoutError, urllib3.exceptions.ReadTimeoutError)

# Numbers below 500 by which TensorFlow Serving sends failures: ABORTED and CANCELLED.
_FAILED = (409, 499)

# Errors of a connection that ends before the whole reply has come. `RemoteDisconnected` is a
# `ConnectionResetError`.
_BROKEN_OFF = (http.client.IncompleteRead, ConnectionResetError, BrokenPipeError)


class RestTransport(Transport):
    """Connection by REST, see `Transport`; several threads may use it at the same time.

    Each request opens a connection of its own.
    """

    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """Runs a signature, see `Transport`."""
        # JSON holds the exact numbers: Python writes all digits of integers, and enough digits of
        # floats to read the same float back.
        request = {
            "signature_name": signature,
            "inputs": {name: array.tolist() for name, array in inputs.items()},
        }
        reply = self._call("POST", f"{self._url()}:predict", json.dumps(request))
        try:
            values = reply["outputs"]
            # The server leaves out the name of a single output.
            if not isinstance(values, dict):
                values = dict(zip(outputs, [values], strict=True))
            return {name: np.asarray(values[name], np.float32) for name in outputs}
        except (KeyError, TypeError, ValueError) as error:
            raise self.wrong_model_error(f"signature {signature} has other outputs") from error

    def input_sizes(self, signature: str, name: str) -> list[int]:
        """Shape of one input of a signature, see `Transport`."""
        reply = self._call("GET", f"{self._url()}/metadata")
        try:
            signatures = reply["metadata"]["signature_def"]["signature_def"]
        except (KeyError, TypeError) as error:
            raise self.wrong_server_error("its metadata have another format") from error
        try:
            dimensions = signatures[signature]["inputs"][name]["tensor_shape"]["dim"]
            return [int(dimension["size"]) for dimension in dimensions]
        except (KeyError, TypeError, ValueError) as error:
            raise self.wrong_model_error(
                f"it has no signature {signature} with input {name}"
            ) from error

    def status(self) -> list[VersionStatus]:
        """Status of the model's versions, see `Transport`."""
        reply = self._call("GET", self._url())
        try:
            return [
                VersionStatus(
                    int(entry["version"]), entry["state"], entry["status"]["error_message"]
                )
                for entry in reply["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self.wrong_server_error("its status has another format") from error

    def close(self) -> None:
        """Does nothing: no connection is open between requests."""

    def _url(self) -> str:
        """The model's URL on the server."""
        version = "" if self.version is None else f"/versions/{self.version}"
        return f"{self.url}/v1/models/{quote(self.model, safe='')}{version}"

    def _call(self, method: str, url: str, body: str | None = None) -> Any:
        """Sends a request and returns the JSON of the reply."""
        try:
            response = requests.request(
                method,
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self.timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            reason = _root_cause(error)
            # A reply that stops half way is no `requests.Timeout`.
            if isinstance(error, requests.Timeout) or isinstance(reason, _TIMEOUTS):
                raise self.timeout_error() from error
            if isinstance(reason, _BROKEN_OFF):
                raise self.unavailable_error("it closed the connection") from error
            if isinstance(reason, http.client.HTTPException):
                raise self.wrong_server_error(
                    f"it does not speak HTTP ({type(reason).__name__})"
                ) from error
            raise self.unavailable_error(str(reason)) from error
        try:
            reply = response.json()
        except ValueError as error:
            raise self._not_json_error(response) from error
        if response.status_code != 200:
            raise self._error(response.status_code, reply)
        return reply

    def _not_json_error(self, response: requests.Response) -> ServingError:
        """The error for a reply that is not JSON."""
        start = response.text[:80] or "nothing"
        detail = f"it answers {response.status_code} with {start}"
        if response.status_code == 200:
            return self.wrong_server_error(detail)
        if "json" not in response.headers.get("Content-Type", ""):
            return self.wrong_server_error(detail, response.status_code)
        # Some versions of the server escape quotes in their messages in a way that is not JSON.
        return self._error(response.status_code, {"error": response.text})

    def _error(self, status_code: int, reply: Any) -> ServingError:
        """The error for an HTTP status other than 200."""
        if not isinstance(reply, dict) or not isinstance(reply.get("error"), str):
            return self.wrong_server_error(f"it answers {status_code}", status_code)
        message = reply["error"]
        if status_code == 404:
            return self.unknown_model_error(message, status_code)
        if 400 <= status_code < 500 and status_code not in _FAILED:
            return self.refused_error(message, status_code)
        if status_code == 503:
            return self.unavailable_error(message, status_code)
        if status_code == 504:
            limit = "(its own limit: --rest_api_timeout_in_ms)"
            return self.failed_error(f"{clean_message(message)} {limit}", status_code)
        return self.failed_error(message, status_code)


def _root_cause(error: BaseException) -> BaseException:
    """The innermost error, usually the operating system's, which two libraries wrap in theirs."""
    candidates = [getattr(error, "reason", None), *error.args]
    inner = next((one for one in candidates if isinstance(one, BaseException)), None)
    return error if inner is None else _root_cause(inner)
