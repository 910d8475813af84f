"""What MkDocs calls while it builds the site: generated pages are added, lists of pages in the navigation filled in.

Nothing that is generated is committed. In `mkdocs.yml` an entry such as `- Decisions: decisions/*` stands for all pages
of a folder, the index first; `newest/log/*` for the same in reverse order.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from command_reference import PATH as COMMANDS
from command_reference import command_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from python_reference import python_pages
from settings_reference import settings_pages

import lexirec
from lexirec.cli.options import app
from lexirec.core.config import Settings
from lexirec.pipeline.experiment import Experiment
from lexirec.workflows.studies.settings import StudySettings
from lexirec.workflows.tuning.settings import TuningSettings

FILES: dict[str, type[Settings]] = {"Studies": StudySettings, "Search spaces": TuningSettings}
"""Files besides experiments: heading -> what reads them."""
_MENTION = re.compile(r"(?<!\[)`docs/([\w/.-]+\.md|[\w-]+/)`(?!\])")


@cache
def generated() -> dict[str, str]:
    """Return path -> Markdown of all generated pages."""
    root = Path(__file__).parents[2]
    return {
        COMMANDS: command_page(app),
        "contributing.md": (root / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        **settings_pages(Experiment, FILES),
        **python_pages(lexirec),
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the lists of pages in the navigation."""
    folder = Path(config.docs_dir)
    pages = {path.relative_to(folder).as_posix() for path in folder.glob("**/*.md")}
    config.nav = filled(config.nav, sorted({*pages, *generated()}))
    return config


def filled(entry: Any, pages: list[str]) -> Any:
    """Return a part of the navigation in which lists of pages stand for their patterns."""
    if isinstance(entry, list):
        return [filled(each, pages) for each in entry]
    if isinstance(entry, dict):
        return {name: filled(value, pages) for name, value in entry.items()}
    if isinstance(entry, str) and entry.endswith("/*"):
        newest = entry.startswith("newest/")
        prefix = entry.removeprefix("newest/").removesuffix("*")
        found = sorted((page.removesuffix(".md") for page in pages if page.startswith(prefix)), reverse=newest)
        return [f"{page}.md" for page in sorted(found, key=lambda page: page != f"{prefix}index")]
    return entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, content in generated().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn a mention such as `docs/protocol.md` into a link, where there is such a page."""
    depth = page.file.src_uri.count("/")

    def link(match: re.Match[str]) -> str:
        target = match[1] if match[1].endswith(".md") else f"{match[1]}index.md"
        found = files.get_file_from_path(target) is not None
        return f"[{match[0]}]({'../' * depth}{target})" if found else match[0]

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if place % 2 else _MENTION.sub(link, part) for place, part in enumerate(parts))
