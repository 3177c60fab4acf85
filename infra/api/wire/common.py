"""Types that several bodies share, with the limits of what a database can hold."""

from typing import Annotated, Any, Literal

from pydantic import Field

Json = dict[str, Any]
Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, le=2**53)]
Minutes = Annotated[float, Field(gt=0, le=60 * 24 * 366 * 100)]
"""Up to a century."""
Name = Annotated[str, Field(min_length=1, max_length=500)]
Text = Annotated[str, Field(max_length=10_000)]
IfExists = Literal["raise", "do_nothing"]
SortOrder = Literal["asc", "desc"]
