"""TensorFlow Serving's REST interface: JSON over HTTP. Does not import TensorFlow."""

import http.client
import json
from typing import Any
from urllib.parse import quote

import numpy as np
import requests

from tf_mdsm.errors import ServingError
from tf_mdsm.serving.transport import Transport, VersionStatus, sentence

__all__ = ["RestTransport"]


class RestTransport(Transport):
    """See `Transport`; threads may share it, as no connection is kept between requests."""

    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        # Python writes every integer in full and every float so that it comes back the same.
        request = {
            "signature_name": signature,
            "inputs": {name: array.tolist() for name, array in inputs.items()},
        }
        reply = self._ask("POST", f"{self._url()}:predict", json.dumps(request))
        try:
            values = reply["outputs"]
            # A single output comes without its name.
            named = (
                values if isinstance(values, dict) else dict(zip(outputs, [values], strict=True))
            )
            return {name: np.asarray(named[name], np.float32) for name in outputs}
        except (KeyError, TypeError, ValueError) as error:
            raise self.foreign_model(f"signature {signature} gave other outputs") from error

    def input_sizes(self, signature: str, name: str) -> list[int]:
        reply = self._ask("GET", f"{self._url()}/metadata")
        try:
            signatures = reply["metadata"]["signature_def"]["signature_def"]
        except (KeyError, TypeError) as error:
            raise self.foreign("its metadata are of another form") from error
        try:
            dimensions = signatures[signature]["inputs"][name]["tensor_shape"]["dim"]
            return [int(dimension["size"]) for dimension in dimensions]
        except (KeyError, TypeError, ValueError) as error:
            raise self.foreign_model(f"it has no signature {signature} of {name}") from error

    def status(self) -> list[VersionStatus]:
        reply = self._ask("GET", self._url())
        try:
            return [
                VersionStatus(int(one["version"]), one["state"], one["status"]["error_message"])
                for one in reply["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self.foreign("its status is of another form") from error

    def close(self) -> None:
        pass

    def _url(self) -> str:
        version = "" if self.version is None else f"/versions/{self.version}"
        return f"{self.address}/v1/models/{quote(self.model, safe='')}{version}"

    def _ask(self, method: str, url: str, body: str | None = None) -> Any:
        """The JSON that the server answers."""
        try:
            response = requests.request(
                method,
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self.timeout,
                allow_redirects=False,
            )
        except requests.Timeout as error:
            raise self.too_late() from error
        except requests.RequestException as error:
            reason = _reason(error)
            if isinstance(reason, http.client.HTTPException):
                raise self.foreign(f"it does not speak HTTP ({type(reason).__name__})") from error
            raise self.unavailable(str(reason)) from error
        try:
            reply = response.json()
        except ValueError as error:
            raise self._no_json(response) from error
        if response.status_code != 200:
            raise self._error(response.status_code, reply)
        return reply

    def _no_json(self, response: requests.Response) -> ServingError:
        if response.status_code == 200 or "json" not in response.headers.get("Content-Type", ""):
            start = response.text[:80] or "nothing"
            return self.foreign(f"it answers {response.status_code} with {start}")
        # Some versions quote their messages in a way that is not quite JSON.
        return self._error(response.status_code, {"error": response.text})

    def _error(self, status_code: int, reply: Any) -> ServingError:
        if not isinstance(reply, dict) or not isinstance(reply.get("error"), str):
            return self.foreign(f"it answers {status_code}")
        message = reply["error"]
        if status_code == 404:
            return self.unknown_model(message)
        if 400 <= status_code < 500:
            return self.refused(message)
        if status_code == 503:
            return self.unavailable(message)
        if status_code == 504:
            return self.failed(f"{sentence(message)} (its own limit: --rest_api_timeout_in_ms)")
        return self.failed(message)


def _reason(error: BaseException) -> BaseException:
    """What the system said, which lies at the bottom of what two libraries wrap round it."""
    inner = [getattr(error, "reason", None), *error.args]
    wrapped = next((one for one in inner if isinstance(one, BaseException)), None)
    return error if wrapped is None else _reason(wrapped)
