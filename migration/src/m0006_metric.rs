//! Readings of the host, and their roll-ups over a minute and an hour (`step_s` 60 and 3600).

crate::ddl::step! {
    up: "
        CREATE TABLE metric_sample (
            seq {rowid} NOT NULL PRIMARY KEY,
            at bigint NOT NULL,
            cpu_percent double precision NOT NULL,
            cores_percent {json} NOT NULL,
            memory_used_bytes bigint NOT NULL,
            memory_total_bytes bigint NOT NULL,
            swap_used_bytes bigint NOT NULL,
            swap_total_bytes bigint NOT NULL,
            load_1m double precision NOT NULL,
            load_5m double precision NOT NULL,
            load_15m double precision NOT NULL,
            disks {json} NOT NULL,
            network_received_bytes_per_s double precision NOT NULL,
            network_sent_bytes_per_s double precision NOT NULL,
            process_cpu_percent double precision NOT NULL,
            process_resident_bytes bigint NOT NULL
        );
        CREATE INDEX metric_sample_at ON metric_sample (at);
        CREATE TABLE metric_rollup (
            step_s integer NOT NULL,
            at bigint NOT NULL,
            samples integer NOT NULL,
            cpu_percent_min double precision NOT NULL,
            cpu_percent_avg double precision NOT NULL,
            cpu_percent_max double precision NOT NULL,
            memory_used_bytes_min double precision NOT NULL,
            memory_used_bytes_avg double precision NOT NULL,
            memory_used_bytes_max double precision NOT NULL,
            swap_used_bytes_min double precision NOT NULL,
            swap_used_bytes_avg double precision NOT NULL,
            swap_used_bytes_max double precision NOT NULL,
            load_1m_min double precision NOT NULL,
            load_1m_avg double precision NOT NULL,
            load_1m_max double precision NOT NULL,
            network_received_bytes_per_s_min double precision NOT NULL,
            network_received_bytes_per_s_avg double precision NOT NULL,
            network_received_bytes_per_s_max double precision NOT NULL,
            network_sent_bytes_per_s_min double precision NOT NULL,
            network_sent_bytes_per_s_avg double precision NOT NULL,
            network_sent_bytes_per_s_max double precision NOT NULL,
            process_cpu_percent_min double precision NOT NULL,
            process_cpu_percent_avg double precision NOT NULL,
            process_cpu_percent_max double precision NOT NULL,
            process_resident_bytes_min double precision NOT NULL,
            process_resident_bytes_avg double precision NOT NULL,
            process_resident_bytes_max double precision NOT NULL,
            PRIMARY KEY (step_s, at)
        ) {clustered};
    ",
    down: "
        DROP TABLE metric_rollup;
        DROP TABLE metric_sample;
    ",
}
