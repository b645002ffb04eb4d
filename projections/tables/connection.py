"""The connection that table projections and their queries are given.

Modules without SQL of their own name the type by this one, so that SQLAlchemy is imported
only where tables are.
"""

from sqlalchemy import Connection

__all__ = ["Connection"]
