//! One behavioural suite, run on SQLite and on PostgreSQL.
