"""What every route of the API shares: types of fields with their bounds, and how something is refused."""

import base64
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from nulltext.errors import (
    ImageDecodeError,
    ImageTooLargeError,
    JobNotFoundError,
    KeptFileNotFoundError,
    NulltextError,
    TooManyJobsError,
    UploadTooLargeError,
)
from nulltext.web.bounds import MOST_NAME, MOST_TEXT, MOST_WHOLE, MOST_WORD, quoted

STATUS: Mapping[type[NulltextError], HTTPStatus] = {
    JobNotFoundError: HTTPStatus.NOT_FOUND,
    KeptFileNotFoundError: HTTPStatus.NOT_FOUND,
    UploadTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ImageTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooManyJobsError: HTTPStatus.TOO_MANY_REQUESTS,
}
"""Which status an error has; 400 for all others."""


Text = Annotated[str, Field(max_length=MOST_TEXT)]
Name = Annotated[str, Field(max_length=MOST_NAME)]
Word = Annotated[str, Field(max_length=MOST_WORD)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-MOST_WHOLE, le=MOST_WHOLE)]
Number = Annotated[str, Path(max_length=MOST_NAME)]


class Refused(BaseModel):
    """Why something was refused.

    Attributes:
        detail: A sentence.
    """

    detail: str


def decode_base64(text: str) -> bytes:
    """A file that stands in JSON.

    Raises:
        ImageDecodeError: It is no base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii's own, or of text that is not ASCII
        raise ImageDecodeError("the mask is no base64; expected an image's file as base64.") from error


def error_response(_: Request, error: Exception) -> JSONResponse:
    """An error of the package as JSON, with the status that fits."""
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), HTTPStatus.BAD_REQUEST)
    return JSONResponse({"detail": str(error)}, status_code=status)


def invalid_response(_: Request, error: Exception) -> JSONResponse:
    """A request that is not of the form that is asked for, as a sentence on the first of what is wrong."""
    wrong: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    first: dict[str, Any] = wrong[0] if wrong else {}
    field = ".".join(str(part)[:MOST_WORD] for part in first.get("loc", ())[1:][:2]) or "the request"
    given = "nothing" if first.get("type") == "missing" else quoted(first.get("input"))
    wanted = str(first.get("msg", "another form")).rstrip(".")
    sentence = f"got {given} for {quoted(field)}; expected another: {wanted[:1].lower()}{wanted[1:120]}."
    return JSONResponse({"detail": sentence}, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)
