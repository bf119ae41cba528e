"""All that `dift-geo doctor` looks at, in one value that can be printed or written as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from dift_geo.backends.tiny import WEIGHTS
from dift_geo.doctor.environment import describe_environment, examine_environment
from dift_geo.doctor.finding import Finding, Findings
from dift_geo.doctor.results import (
    examine_database,
    examine_models,
    examine_owner,
    examine_projections,
    examine_summary,
)
from dift_geo.doctor.stores import (
    examine_features,
    examine_matches,
    examine_pairs,
    is_store_there,
)
from dift_geo.errors import NotAFolderError

__all__ = ["Examination", "examine"]

WORDS = {"ok": "ok", "note": "note", "broken": "BROKEN"}


@dataclass(frozen=True)
class Examination:
    """What was looked at and found.

    environment: where it runs, a line for each thing.
    findings: about the environment and about the files of a run.
    """

    environment: dict[str, str]
    findings: list[Finding]

    @property
    def well(self) -> bool:
        """Whether nothing is broken."""
        return not any(finding.state == "broken" for finding in self.findings)

    def plain(self) -> dict[str, object]:
        """As JSON can hold it."""
        found = [asdict(finding) for finding in self.findings]
        return {"well": self.well, "environment": self.environment, "findings": found}

    def page(self) -> str:
        """As a person reads it."""
        width = max(map(len, self.environment))
        lines = [f"{name:<{width}}  {text}" for name, text in self.environment.items()]
        subjects = max((len(finding.subject) for finding in self.findings), default=0)
        lines.append("")
        for finding in self.findings:
            state = WORDS[finding.state]
            lines.append(f"{state:<6}  {finding.subject:<{subjects}}  {finding.text}")
        broken = sum(finding.state == "broken" for finding in self.findings)
        lines += ["", f"{broken} broken" if broken else "all is well"]
        return "\n".join(lines)


def examine(out: Path | None = None) -> Examination:
    """Look at the environment, and at the files of a run in `out`. Changes none of them.

    Raises NotAFolderError when there is no such folder.
    """
    if out is not None and not out.is_dir():
        raise NotAFolderError(f"{out} is not a folder; expected the folder of a run")
    place = Path.cwd() if out is None else out
    findings = examine_environment(place) + _shipped()
    if out is not None:
        findings += _files(out)
    return Examination(describe_environment(place), findings)


def _shipped() -> list[Finding]:
    """Whether the weights that come with the package are whole."""
    projections = examine_projections(WEIGHTS, "projection_*.safetensors")
    found = [finding for finding in projections if finding.state == "broken"]
    weights = Findings("weights")
    for name in ("config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json"):
        if not (WEIGHTS / name).is_file():
            weights.broken(f"{WEIGHTS / name} is missing; install the package again")
    return found + weights.found


def _files(out: Path) -> list[Finding]:
    features, matches = out / "features.h5", out / "matches.h5"
    looks: dict[str, Callable[[], list[Finding]]] = {
        "pairs.txt": partial(examine_pairs, out / "pairs.txt", features, matches),
        "database.db": partial(examine_database, out / "database.db", features),
        "sparse": partial(examine_models, out / "sparse"),
        "summary.json": partial(examine_summary, out / "summary.json"),
    }
    found: list[Finding] = []
    if is_store_there(features):
        found += examine_features(features)
    if is_store_there(matches):
        found += examine_matches(matches, features)
    for name, look in looks.items():
        if (out / name).exists():
            found += look()
    found += examine_projections(out)
    nothing = Findings(out.name or str(out))
    if not found:
        nothing.note("holds no files of a run")
    return [*found, *examine_owner(out), *nothing.found]
