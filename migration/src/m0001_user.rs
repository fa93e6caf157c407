//! Users.

crate::ddl::step! {
    up: r#"
        CREATE TABLE "user" (
            id {id} NOT NULL PRIMARY KEY,
            name {name} NOT NULL UNIQUE,
            role text NOT NULL,
            password_hash text,
            created_at bigint NOT NULL
        );
    "#,
    down: r#"DROP TABLE "user";"#,
}
