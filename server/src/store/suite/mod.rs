//! One behavioural suite, run on SQLite and on PostgreSQL.

use std::future::Future;

use limelight_test_support::Postgres;
use tempfile::TempDir;

use super::{DatabaseUrl, JournalWriter, Store, StoreOptions, Synchronous};

mod faults;
mod history;
mod journal;
mod lists;
mod revoked;
mod schema;
mod snapshot;
mod story;

/// An empty database of a test's own.
pub struct Database {
    pub url: DatabaseUrl,
    _folder: Option<TempDir>,
}

impl Database {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: DatabaseUrl::Sqlite(folder.path().join("data/limelight.db")),
            _folder: Some(folder),
        }
    }

    fn postgres() -> Self {
        Self {
            url: DatabaseUrl::Postgres(Postgres::shared().new_database()),
            _folder: None,
        }
    }

    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            url: self.url.clone(),
            synchronous: Synchronous::Off,
        }
    }

    pub async fn open(&self) -> (Store, JournalWriter) {
        Store::open(self.options()).await.unwrap()
    }

    pub const fn is_sqlite(&self) -> bool {
        matches!(self.url, DatabaseUrl::Sqlite(_))
    }
}

fn run<F: Future<Output = ()>>(database: Database, test: impl FnOnce(Database) -> F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test(database));
}

macro_rules! on_both {
    ($($part:ident: $($name:ident,)+;)+) => {
        mod sqlite {
            $(mod $part {
                $(#[test]
                fn $name() {
                    use crate::store::suite::{Database, $part::$name as test, run};
                    run(Database::sqlite(), test);
                })+
            })+
        }
        mod postgres {
            $(mod $part {
                $(#[test]
                fn $name() {
                    use crate::store::suite::{Database, $part::$name as test, run};
                    run(Database::postgres(), test);
                })+
            })+
        }
    };
}

on_both! {
    journal:
        positions_and_sequences_have_no_gap_over_batches_and_streams,
        an_append_that_clashes_leaves_nothing_and_the_others_stand,
        a_stale_owner_is_refused_alone,
        an_append_that_does_not_continue_its_stream_is_refused_alone,
        an_append_that_is_sent_again_is_committed_once,
        what_differs_in_anything_is_not_the_same_append,
        read_models_agree_with_the_events,
        several_appends_of_one_execution_in_a_batch_add_up,
        every_topic_is_read_from_any_position,
        what_is_read_is_what_was_committed,
        writers_of_all_kinds_do_not_lock_each_other_out,
        nul_in_text_does_not_stop_the_journal,
        a_lost_connection_fails_one_batch_only,
        test_runs_keep_their_cases_in_order,;
    lists:
        a_list_of_a_thousand_shows_each_once_though_more_begin,
        a_broken_cursor_is_refused_and_a_search_takes_any_text,
        all_live_executions_are_claimed_at_once,
        executions_are_filtered_and_counted,
        a_workflow_has_versions_and_its_name_is_its_own,
        a_workflow_with_live_executions_is_not_deleted,
        users_are_made_once_and_may_have_a_password,;
    revoked:
        ended_tokens_are_kept_until_they_would_have_expired,;
    history:
        a_log_continues_where_it_ended,
        lines_that_are_appended_again_are_there_once,
        a_flood_of_short_lines_takes_little_more_than_its_text,
        logs_of_earlier_versions_are_carried_over_and_back,
        roll_ups_hold_minimum_mean_and_maximum,
        a_history_joins_roll_ups_and_raw_readings,
        the_newest_reading_outlives_its_retention,;
    snapshot:
        a_snapshot_holds_what_the_events_up_to_its_position_made,;
    schema:
        migrations_go_up_and_down_to_nothing_and_up_again,
        a_newer_schema_is_refused,
        a_reopened_database_has_everything_and_its_epoch,
        a_database_has_one_server_and_others_beside_it_only_for_the_rest,
        a_database_put_back_from_a_copy_has_another_epoch,
        a_database_out_of_reach_is_one_clear_line,;
}
