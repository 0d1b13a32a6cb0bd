//! The catalog against real SQLite files and a real PostgreSQL: every case of `commits` and `records` runs on both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]

mod commits;
mod failures;
mod namespaces;
mod places;
mod records;

use places::{SqlitePlace, server};

/// Runs each case as a test of its own on SQLite, and all of them one after the other on one PostgreSQL server.
macro_rules! on_both {
    ($($room:ident :: $case:ident),+ $(,)?) => {
        mod on_sqlite {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    let place = SqlitePlace::new();
                    $room::$case(&place.url()).await;
                }
            )+
        }

        #[tokio::test]
        async fn every_case_holds_on_postgres() {
            let Some(server) = server() else { return };
            $(
                println!("{}", stringify!($case));
                $room::$case(&server.database(stringify!($case))).await;
            )+
            failures::postgres_failures_say_what_where_and_what_to_do(server).await;
        }
    };
}

/// The first to open a new file changes it to WAL, and SQLite tells the others that it is locked, without waiting: many files, so that it happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_file_at_once() {
    for _ in 0..25 {
        let place = SqlitePlace::new();
        records::many_may_open_at_once(&place.url()).await;
    }
}

on_both! {
    commits::a_commit_moves_all_pointers_and_the_cursor_or_nothing,
    commits::a_pointer_is_made_moved_and_dropped_only_from_where_it_was_expected,
    commits::a_cursor_moves_only_from_its_version_and_counts_rows,
    commits::a_forgotten_cursor_never_gets_a_former_version_back,
    commits::of_many_that_race_exactly_one_wins,
    commits::a_commit_dropped_anywhere_is_whole_or_absent,
    commits::a_cursor_stored_apart_from_its_tables_is_caught,
    commits::a_table_named_twice_is_refused,
    namespaces::a_namespace_is_made_once_and_dropped_when_it_holds_nothing,
    namespaces::properties_change_in_one_step,
    namespaces::a_view_moves_only_from_where_it_was_expected,
    records::pipelines_run_unless_somebody_paused_them,
    records::crawls_are_kept_with_what_they_saw_change,
    records::runs_are_kept_newest_first_and_pruned,
    records::runs_of_a_dead_process_become_failed,
    records::model_states_are_replaced_whole,
    records::saved_queries_can_be_made_changed_and_removed,
    records::namespaces_and_views_change_with_tables_or_not_at_all,
    records::settings_hold_any_json,
    records::everything_is_there_after_opening_again,
    records::many_may_open_at_once,
    records::a_claim_keeps_others_out_until_it_is_dropped,
    failures::a_catalog_of_a_newer_version_is_left_alone,
}
