"""When a cron fires: croniter's syntax, in a time zone."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, CroniterError, croniter  # type: ignore[import-untyped]

from fiel.tools.errors import UsageError

_LONGEST = 200
"""Characters of a schedule."""
_YEARS = 40
"""How far ahead a schedule must fire: a 29th of February on a Monday comes every 28 years."""


class BadSchedule(UsageError):
    """A schedule or a time zone cannot be read, or never comes."""

    code = "bad_schedule"


def following(schedule: str, timezone: str | None, after: datetime) -> datetime:
    """The first time of `schedule` after `after`, in UTC. Raises BadSchedule.

    Where clocks go back, a schedule with a fixed hour fires once; one for every hour fires each time it is that hour.
    """
    start = after.astimezone(zone(timezone))
    try:
        if len(schedule) > _LONGEST:
            raise ValueError("it is too long")
        times = croniter(schedule, start, max_years_between_matches=_YEARS)
        found: datetime = times.get_next(datetime)
        if found.fold and _hour_is_fixed(schedule) and found.replace(fold=0).utcoffset() != found.utcoffset():
            found = times.get_next(datetime)
    except (CroniterError, ValueError, KeyError, OverflowError) as error:
        never = isinstance(error, CroniterBadDateError)
        raise BadSchedule(
            "the schedule never comes" if never else "the schedule cannot be read",
            where="schedule",
            hint="Minute, hour, day of month, month, day of week; for example */5 * * * *",
        ) from error
    return found.astimezone(UTC)


def zone(name: str | None) -> tzinfo:
    """A time zone by its IANA name; UTC without one. Raises BadSchedule."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(
            "there is no such time zone", where="timezone", hint="An IANA name; for example America/New_York"
        ) from error


def _hour_is_fixed(schedule: str) -> bool:
    fields = schedule.split()
    return len(fields) >= 5 and fields[1].replace(",", "").isdigit()
