"""What the routes of the workbench keep between requests."""

from __future__ import annotations

from lexirec.serving.http.service import Service
from lexirec.serving.workbench.identifier_tree import IdentifierTrees
from lexirec.serving.workbench.reports import Reports, Tickets


class Workbench:
    """The trees, the reports and the tickets of a service.

    Attributes:
        trees: Of identifiers.
        tickets: For files of reports.
        reports: Of the store; None where the service has none.
    """

    def __init__(self, service: Service) -> None:
        """Belong to a service."""
        self.trees, self.tickets = IdentifierTrees(), Tickets()
        store = service.served.finder.store if service.served is not None else None
        self.reports = Reports(store, self.tickets) if store is not None else None
