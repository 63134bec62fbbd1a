"""What whoever runs the app asks it: does the process live, and can it reach its database?"""

from fastapi import APIRouter, Depends
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from boresight.web.access import open_to_all
from boresight.web.annotation.pages.accounts import store_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(open_to_all)])


@router.get("/health")
async def health() -> Response:
    """200 while the process answers."""
    return JSONResponse({"status": "alive"})


@router.get("/ready")
def ready(request: Request) -> Response:
    """200 while the database answers, otherwise 503. Says no more than that, since all may ask."""
    try:
        with store_of(request).read() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return JSONResponse({"status": "no database"}, 503)
    return JSONResponse({"status": "ready"})
