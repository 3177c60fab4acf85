"""The JavaScript programs in the documentation run as they stand there, and its component can be built."""

import asyncio
from typing import Any

import pytest

from tests.api.test_connect import ADDRESS, TOKEN, blocks
from tests.browser.conftest import HERE, PATIENCE
from tests.graph.conftest import DRAFT

pytestmark = pytest.mark.browser
PROGRAMS, COMPONENTS = blocks("javascript"), blocks("jsx")
BUILD = """
import { transformWithOxc } from "vite";
import { readFileSync } from "node:fs";
const built = await transformWithOxc(readFileSync(0, "utf8"), "chat.jsx");
const [hook] = [...built.code.matchAll(/import \\{ (\\w+) \\} from "(@langchain[^"]+)"/g)];
if (typeof (await import(hook[2]))[hook[1]] !== "function") throw new Error(`no ${hook[1]} in ${hook[2]}`);
console.log(built.code);
"""


async def said(node: str, program: str, given: str = "") -> tuple[int, str]:
    """Exit status and output of a program beside the Node packages."""
    process = await asyncio.create_subprocess_exec(
        *(node, "--input-type=module", "--eval", program),
        cwd=HERE,
        stdin=-1,
        stdout=-1,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(given.encode()), PATIENCE)
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize("text", [text for _, text in PROGRAMS], ids=[place for place, _ in PROGRAMS])
async def test_a_program_in_the_documentation_runs(node: str, own: Any, text: str) -> None:
    service = await own()
    assert ADDRESS in text
    program = text.replace(ADDRESS, service.url).replace(TOKEN, service.token)
    status, told = await said(node, program)
    assert status == 0, told
    assert DRAFT in told
    assert "notes.md" in told, "no citation"


@pytest.mark.parametrize("text", [text for _, text in COMPONENTS], ids=[place for place, _ in COMPONENTS])
async def test_a_component_in_the_documentation_can_be_built(node: str, text: str) -> None:
    status, told = await said(node, BUILD, text)
    assert status == 0, told
    assert (await said(node, BUILD, text.replace("</form>", "")))[0] != 0
