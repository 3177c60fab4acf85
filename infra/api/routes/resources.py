"""What lives in the database, over the service of a request."""

from fiel.infra.api.service import Service
from fiel.infra.ledger.recorders import redaction
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.runs.assistants import Assistants
from fiel.infra.runs.crons import Crons
from fiel.infra.runs.feedback import Feedback
from fiel.infra.runs.items import Items
from fiel.infra.runs.reviewing import Reviewing, rules
from fiel.infra.runs.rights import Rights
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.states import States
from fiel.infra.runs.threads import Threads
from fiel.infra.telemetry.show import Shown
from fiel.tools.errors import CollectionNotFound
from fiel.tools.principal import Principal


def assistants_of(service: Service) -> Assistants:
    return Assistants(service.database, service.host)


def threads_of(service: Service) -> Threads:
    return Threads(service.database, service.host, Sealer(service.cipher), service.engine.stop_thread)


def states_of(service: Service) -> States:
    return States(service.database, service.host, Sealer(service.cipher), threads_of(service))


def crons_of(service: Service) -> Crons:
    return Crons(service.database, assistants_of(service), Sealer(service.cipher))


def items_of(service: Service) -> Items:
    return Items(service.database, Sealer(service.cipher), service.meaning)


def feedback_of(service: Service) -> Feedback:
    house = service.house
    if house is None:
        return Feedback(service.database, SubjectKeys(service.database.system, service.cipher), None)
    policies = house.policies
    shown = Shown(redaction(policies))
    return Feedback(service.database, house.recorder.keys, shown.text)


def reviewing_of(service: Service) -> Reviewing:
    house = service.house

    async def readable(reviewer: Principal, collection: str) -> bool:
        if house is None:
            return True
        try:
            await house.corpus.index.collection(reviewer, collection)
        except CollectionNotFound:
            return False
        return True

    return Reviewing(
        service.engine.runs, Sealer(service.cipher), rules(service.settings), Rights(service.database).now, readable
    )
