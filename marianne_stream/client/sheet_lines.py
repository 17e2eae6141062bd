"""`logs --sheet`: the lines of a log that were written while a sheet ran."""

import math
from dataclasses import replace

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import SheetTimesBody
from marianne_stream.client.log_query import LogQuery
from marianne_stream.client.times import parse_iso_time

# Times that this server has seen itself may be late by the interval between two visits.
OBSERVED_SLACK_S = 1.0


async def within_sheet(client: ApiClient, query: LogQuery, number: int) -> LogQuery | None:
    """Return a query for the lines in the span of a sheet; None if the sheet has not started.

    Raises:
        CliJobNotFoundError: the job or the sheet does not exist.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    sheet = await client.get_json_with_retry(
        job_path(query.job_id, f"/sheets/{number}"), {}, SheetTimesBody
    )
    started_s, ended_s = parse_iso_time(sheet.started_at), parse_iso_time(sheet.completed_at)
    if started_s is None:
        return None
    slack_s = OBSERVED_SLACK_S if sheet.observed else 0.0
    # Lines may have a time in whole seconds, rounded down.
    return replace(
        query,
        since_s=math.floor(started_s - slack_s),
        until_s=None if ended_s is None else ended_s + slack_s,
    )
