"""What Diviner could do, row by row: D1 to D29, and the tests that show that maggy does."""

import ast
import functools
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLI, COMMAND, TRIALS, OUTPUT = "test_cli.py", "test_command.py", "test_command_trials.py", "test_output.py"
FILE, RUN = "studyfile/test_file.py", "studyfile/test_run.py"

ROWS = {
    "D1 study files": [(FILE, "test_d1_the_readmes_file_loads_unchanged")],
    "D2 templates, id and replicate": [
        (COMMAND, "test_d2_a_template_is_filled_as_python_does"),
        (FILE, "test_d2_a_run_function_may_ask_for_its_id_and_replicate"),
        (FILE, "test_d2_what_a_run_function_takes_besides_is_refused"),
    ],
    "D3 lines METRICS": [
        (TRIALS, "test_d3_metrics_lines_are_reports"),
        (OUTPUT, "test_d3_what_is_no_report_is_logged"),
    ],
    "D4 their order": [(CLI, "test_d4_every_report")],
    "D5 kinds of values": [
        (FILE, "test_d5_params_are_of_every_kind"),
        (FILE, "test_d5_a_grid_of_lists_and_dicts"),
        (FILE, "test_what_is_wrong_is_said_with_its_line"),
    ],
    "D6 a grid goes on": [(RUN, "test_d6_a_grid_of_eighteen_is_tried_once_each")],
    "D7 models": [
        (FILE, "test_d7_oracles_are_our_optimizers"),
        (RUN, "test_d7_a_model_comes_near_the_optimum_in_both_directions"),
    ],
    "D8 random search": [(RUN, "test_d8_random_search_is_repeated_by_its_seed")],
    "D9 rounds and streams": [(RUN, "test_d9_rounds_have_a_barrier"), (RUN, "test_d9_a_stream_has_none")],
    "D10 several studies": [
        (RUN, "test_d10_studies_run_side_by_side_and_fail_alone"),
        (RUN, "test_d10_one_studys_end_is_not_anothers"),
    ],
    "D11 replicates": [(RUN, "test_d11_replicates_try_the_same_values"), (CLI, "test_d11_replicates")],
    "D12 failed replicates": [
        (RUN, "test_d12_a_failed_run_is_run_again_under_its_id"),
        (CLI, "test_d12_a_trial_that_is_queued_again"),
    ],
    "D13 what is started again": [
        (TRIALS, "test_d13_a_program_that_does_not_keep_itself_alive_is_started_again"),
        (TRIALS, "test_d13_an_exit_code_fails_the_trial_with_its_last_lines"),
        (TRIALS, "test_d13_a_program_that_does_is_not"),
    ],
    "D14 orphans": [(CLI, "test_d14_f09_a_killed_driver")],
    "D15 datasets": [
        (RUN, "test_d15_a_dataset_is_made_once"),
        (RUN, "test_d15_a_dataset_that_is_there_is_not_made"),
        (RUN, "test_d15_a_dataset_that_fails_fails_the_run_before_it_starts"),
    ],
    "D16 local files": [
        (RUN, "test_d16_files_of_a_run_come_along"),
        (TRIALS, "test_d16_the_workspace_is_fresh_and_has_the_files"),
    ],
    "D17 systems": [
        (RUN, "test_d17_two_studies_share_a_system"),
        (RUN, "test_d17_slots_that_a_study_leaves_are_anothers"),
        ("spark/test_studyfile_spark.py", "test_d17_slots_that_a_study_leaves_are_anothers_on_spark"),
        (RUN, "test_d17_a_system_that_is_not_there_is_a_sentence"),
    ],
    "D18 readers": [(CLI, "test_d18_a_study_is_led_from_another_process"), (CLI, "test_create_table")],
    "D19 layouts": [
        ("studyfile/test_walk.py", "test_the_walk_through_the_readme"),
        (CLI, "test_d19_d20_list_of_what_runs"),
        (CLI, "test_d19_info_of_a_run"),
        (CLI, "test_d19_leaderboard"),
    ],
    "D20 status": [
        (CLI, "test_d19_d20_list_of_what_runs"),
        (OUTPUT, "test_d3_lines_are_told_apart_however_they_are_cut"),
    ],
    "D21 logs": [(CLI, "test_d21_a_log_is_followed"), (TRIALS, "test_d21_the_log_has_everything_else")],
    "D22 leaderboards": [
        (CLI, "test_d22_columns_that_say_something"),
        (CLI, "test_d22_studies_that_disagree"),
    ],
    "D23 runs again": [
        (RUN, "test_d23_runs_are_repeated_as_new_ones"),
        ("studyfile/test_guide.py", "test_d23_repetitions_are_not_the_optimizers"),
    ],
    "D24 scripts": [(RUN, "test_d24_a_script_is_rendered_without_being_run")],
    "D25 what files load": [
        (FILE, "test_d25_modules_are_loaded_once_and_know_each_other"),
        (FILE, "test_d25_a_cycle_of_loads_is_named"),
        (FILE, "test_d25_commands_are_run_once_and_files_made"),
        (FILE, "test_d25_to_proto_is_text"),
    ],
    "D26 functions instead of scripts": [(RUN, "test_d26_metrics_may_be_computed_by_a_function_of_the_file")],
    "D27 Ctrl-C": [(RUN, "test_d27_ctrl_c_lets_what_runs_end"), (RUN, "test_d27_twice_is_at_once")],
    "D28 a page of what runs": [(RUN, "test_d28_pages_show_what_runs")],
    "D29 oracles of one's own": [
        (RUN, "test_d29_an_oracle_may_be_a_function_of_the_file"),
        (RUN, "test_d29_an_oracle_that_fails_later_ends_its_study"),
    ],
}


@functools.cache
def defined(file):
    tree = ast.parse((HERE / file).read_text())
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_every_row_is_there():
    """None is forgotten."""
    assert {row.split()[0] for row in ROWS} == {f"D{number}" for number in range(1, 30)}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_its_tests(row):
    """By their names, which say to which row they belong."""
    assert [name for file, name in ROWS[row] if name not in defined(file)] == []
