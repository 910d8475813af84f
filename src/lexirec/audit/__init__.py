"""The audit: does anything know what it is asked, and are figures what they seem to be?

One function per check, from `Evidence` to findings; `examine` makes all of them. Nothing is trained here.
"""

from __future__ import annotations

from lexirec.audit.checks import CHECKS, Check, examine
from lexirec.audit.evidence import Evidence
from lexirec.audit.findings import SEVERITIES, Audit, Finding, NotLookedError, Severity

__all__ = ["CHECKS", "SEVERITIES", "Audit", "Check", "Evidence", "Finding", "NotLookedError", "Severity", "examine"]
