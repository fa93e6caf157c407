//! Tokens that were ended before their time: one each, or all sessions of a user that were begun
//! before an instant. Tokens themselves are not kept.

crate::ddl::step! {
    up: "
        CREATE TABLE revoked_token (
            id {id} NOT NULL PRIMARY KEY,
            fingerprint text,
            user_id {id},
            issued_before bigint,
            expires_at bigint NOT NULL
        );
        CREATE INDEX revoked_token_user ON revoked_token (user_id);
    ",
    down: "DROP TABLE revoked_token;",
}
