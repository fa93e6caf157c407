//! What a start under an idempotency key asked for, so that another request under the same key is
//! told apart from the same one sent again.

crate::ddl::step! {
    up: "ALTER TABLE execution ADD COLUMN idempotency_fingerprint text;",
    down: "ALTER TABLE execution DROP COLUMN idempotency_fingerprint;",
}
