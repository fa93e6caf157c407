-- Commits one batch of the journal.
--
-- batch: {"appends":    [{"i", "stream_kind", "stream_id", "first_seq", "count", "offset", "fence",
--                         "creates", "workflow_id", "execution_id",
--                         "events": [{"o", "k", "t", "n", "d"}]}],
--         "created":    [rows of execution],
--         "changed":    [rows of execution; owner, fence and idempotency_key stay],
--         "nodes":      [rows of node_state],
--         "test_runs":  [rows of test_run],
--         "test_cases": [rows of test_case; ordinal counts from 1 among the new cases of its run]}
--
-- Answer: {"position": P}, the head before the batch: event number o of an append at offset f has
-- position P + f + o; or {"refused": [{"i", "fenced", "expected"}]}, the first faulty append of each
-- stream, and then nothing was written.
--
-- Sequential scans are off because the plans are kept from when the tables were empty.
CREATE FUNCTION journal_commit(batch jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    head bigint;
    total bigint;
    refused jsonb;
BEGIN
    SELECT position INTO STRICT head FROM journal_head WHERE id = 1 FOR UPDATE;

    PERFORM 1 FROM execution
    WHERE id IN (SELECT a.stream_id
                 FROM jsonb_to_recordset(batch->'appends') AS a(stream_id uuid, fence bigint)
                 WHERE a.fence IS NOT NULL)
    ORDER BY id FOR UPDATE;

    SELECT jsonb_agg(jsonb_build_object('i', f.i, 'fenced', f.fenced, 'expected', f.expected))
    INTO refused
    FROM (
        SELECT DISTINCT ON (c.stream_kind, c.stream_id) c.i, c.fenced, c.expected
        FROM (
            SELECT a.i, a.stream_kind, a.stream_id, a.first_seq,
                   a.fence IS NOT NULL AND a.fence IS DISTINCT FROM
                       COALESCE(x.fence, CASE WHEN bool_or(a.creates) OVER earlier THEN 1 END)
                       AS fenced,
                   COALESCE(s.seq, 0) + 1 + sum(a.count) OVER earlier - a.count AS expected
            FROM jsonb_to_recordset(batch->'appends') AS a(
                     i integer, stream_kind smallint, stream_id uuid, first_seq bigint,
                     count bigint, fence bigint, creates boolean)
            LEFT JOIN execution x ON a.fence IS NOT NULL AND x.id = a.stream_id
            LEFT JOIN LATERAL (
                SELECT e.seq FROM event e
                WHERE e.stream_kind = a.stream_kind AND e.stream_id = a.stream_id
                ORDER BY e.seq DESC LIMIT 1) s ON true
            WINDOW earlier AS (PARTITION BY a.stream_kind, a.stream_id ORDER BY a.i
                               ROWS UNBOUNDED PRECEDING)
        ) c
        WHERE c.fenced OR c.first_seq <> c.expected
        ORDER BY c.stream_kind, c.stream_id, c.i
    ) f;
    IF refused IS NOT NULL THEN
        RETURN jsonb_build_object('refused', refused);
    END IF;

    INSERT INTO event (position, stream_kind, stream_id, seq, kind, timestamp,
                       workflow_id, execution_id, node_id, data)
    SELECT head + a.offset + e.o, a.stream_kind, a.stream_id, a.first_seq + e.o - 1, e.k, e.t,
           a.workflow_id, a.execution_id, e.n, e.d
    FROM jsonb_to_recordset(batch->'appends') AS a(
             stream_kind smallint, stream_id uuid, first_seq bigint, "offset" bigint,
             workflow_id uuid, execution_id uuid, events jsonb),
         LATERAL jsonb_to_recordset(a.events) AS e(o bigint, k text, t bigint, n text, d jsonb);
    GET DIAGNOSTICS total = ROW_COUNT;

    INSERT INTO execution
    SELECT * FROM jsonb_populate_recordset(NULL::execution, batch->'created');

    UPDATE execution x SET
        name = r.name, labels = r.labels, status = r.status, params = r.params,
        completed_nodes = r.completed_nodes, total_nodes = r.total_nodes,
        current_phase = r.current_phase, started_at = r.started_at,
        completed_at = r.completed_at, duration_s = r.duration_s, seq = r.seq
    FROM jsonb_populate_recordset(NULL::execution, batch->'changed') AS r
    WHERE x.id = r.id;

    INSERT INTO node_state
    SELECT * FROM jsonb_populate_recordset(NULL::node_state, batch->'nodes')
    ON CONFLICT (execution_id, node_id, item) DO UPDATE SET
        ordinal = excluded.ordinal, status = excluded.status,
        attempt_count = excluded.attempt_count, progress = excluded.progress,
        message = excluded.message, started_at = excluded.started_at,
        completed_at = excluded.completed_at, duration_s = excluded.duration_s,
        outputs = excluded.outputs, artifacts = excluded.artifacts, quality = excluded.quality,
        error_code = excluded.error_code, error_message = excluded.error_message,
        waiting_for = excluded.waiting_for, due_at = excluded.due_at,
        skip_reason = excluded.skip_reason;

    INSERT INTO test_run
    SELECT * FROM jsonb_populate_recordset(NULL::test_run, batch->'test_runs')
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, passed = excluded.passed, failed = excluded.failed,
        skipped = excluded.skipped, completed_at = excluded.completed_at,
        duration_s = excluded.duration_s, error = excluded.error, seq = excluded.seq;

    INSERT INTO test_case (test_run_id, ordinal, name, status, duration_s, message)
    SELECT r.test_run_id,
           r.ordinal + COALESCE((SELECT max(c.ordinal) FROM test_case c
                                 WHERE c.test_run_id = r.test_run_id), 0),
           r.name, r.status, r.duration_s, r.message
    FROM jsonb_populate_recordset(NULL::test_case, batch->'test_cases') AS r;

    UPDATE journal_head SET position = head + total WHERE id = 1;
    RETURN jsonb_build_object('position', head);
END
$$;
