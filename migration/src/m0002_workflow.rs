//! Workflows and their versions. A deleted workflow stays, because its executions do; its name is
//! free again.

crate::ddl::step! {
    up: "
        CREATE TABLE workflow (
            id {id} NOT NULL PRIMARY KEY,
            name {name} NOT NULL,
            description text NOT NULL,
            version integer NOT NULL,
            node_count integer NOT NULL,
            created_at bigint NOT NULL,
            updated_at bigint NOT NULL,
            deleted_at bigint
        );
        CREATE UNIQUE INDEX workflow_name ON workflow (name) WHERE deleted_at IS NULL;
        CREATE TABLE workflow_version (
            workflow_id {id} NOT NULL REFERENCES workflow (id),
            version integer NOT NULL,
            source text NOT NULL,
            node_count integer NOT NULL,
            created_at bigint NOT NULL,
            created_by text NOT NULL,
            PRIMARY KEY (workflow_id, version)
        );
    ",
    down: "
        DROP TABLE workflow_version;
        DROP TABLE workflow;
    ",
}
