/* SPDX-License-Identifier: MIT
 *
 * script/version.h: references, functions by slot, and retiring while a task still runs. */
#include "../support/script_fixture.h"
#include "script/version.h"

static int set_up(void **context) { return fixture_new(context, 1000, 0); }

/* A version for two workers; the second has the state, with one function that `code` returns. */
static struct script_version *make(struct fixture *fixture, const char *code) {
  struct script_version *version = calloc(1, sizeof *version);
  atomic_init(&version->references, 1);
  version->file = strdup("a.lua");
  version->path = strdup("routes/a.lua");
  version->function_count = 1;
  version->functions = calloc(1, sizeof *version->functions);
  version->functions[0] = (struct script_function){strdup("page"), strdup("action.handler")};
  version->state_count = 2;
  version->states = calloc(2, sizeof *version->states);
  version->references_of = calloc(2, sizeof *version->references_of);
  version->references_of[1] = calloc(1, sizeof(int));
  struct script_state *state = version->states[1] = fixture_state(fixture, 1000, 0);
  state->version = version;
  struct error error;
  assert_int_equal(0, script_load_text(state, state->L, code, strlen(code), "@routes/a.lua", &error));
  assert_int_equal(0, script_call(state, state->L, 0, 1, &error));
  version->references_of[1][0] = luaL_ref(state->L, LUA_REGISTRYINDEX);
  return version;
}

static void functions_are_found_by_worker_and_slot(void **context) {
  struct script_version *version = make(*context, "return function() return 7 end");
  assert_null(script_version_state(version, 0));
  assert_null(script_version_state(version, 1));
  assert_null(script_version_state(version, 3));
  struct script_state *state = script_version_state(version, 2);
  script_version_push(version, 2, 0, state->L);
  assert_int_equal(0, script_call(state, state->L, 0, 1, NULL));
  assert_int_equal(7, lua_tointeger(state->L, -1));
  script_version_unref(version);
}

static void a_version_that_never_went_live_closes_its_states(void **context) {
  struct script_version *version = make(*context, "return print");
  script_version_unref(script_version_ref(version));
  script_version_unref(version);
  script_version_unref(NULL);
}

static void retiring_waits_for_the_last_task(void **context) {
  struct fixture *fixture = *context;
  struct script_version *version = make(fixture, "return function() moongate.sleep(1) return 'ended' end");
  struct script_state *state = script_version_state(version, 2);
  script_state_attach(state, &fixture->place);
  script_version_push(version, 2, 0, state->L);
  struct outcome outcome = {0};
  task_start(task_new(state, state->L, 0, on_task_ended, &outcome));
  script_version_retire(version, 2);
  script_version_retire(version, 2);
  assert_null(script_version_state(version, 2));
  assert_null(state->version);
  script_version_unref(version);
  clock_advance(&fixture->clock, 2000000000);
  fixture_wait(fixture, &outcome);
  assert_string_equal("ended", outcome.text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(functions_are_found_by_worker_and_slot, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_version_that_never_went_live_closes_its_states, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(retiring_waits_for_the_last_task, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
