/* SPDX-License-Identifier: MIT
 *
 * What the tests of script/ start from: a loop, a place on it, and user states whose Lua runs as tasks. */
#pragma once

#include "core/clock.h"
#include "core/loop.h"
#include "script/scheduler.h"
#include "script/state.h"
#include "script/state_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
  struct clock clock;
  struct loop loop;
  struct log log;
  uint8_t bytes[64 * 1024];
  struct flow_shared pipes;
  struct script_place place;
  struct script_state *state;
};

/* How one task ended. */
struct outcome {
  bool over;
  enum task_end end;
  char text[8192]; /* its first result, or the error */
};

static inline struct script_state *fixture_state(const struct fixture *fixture, uint64_t time_ms, uint64_t memory) {
  struct script_options options = {.time_ms = time_ms, .memory = memory, .log = &fixture->log};
  struct error error = {0};
  struct script_state *state = script_state_new(&options, &error);
  if (state == NULL)
    fail_msg("%s", error.message);
  return state;
}

/* The collector runs at no time of its own any more, for limits to be met where they stand. (Were it stopped, the state
 * would take it for calling a finalizer.) */
static inline void fixture_keep_garbage(lua_State *L) {
  lua_gc(L, LUA_GCSETPAUSE, 1000 * 1000);
  lua_gc(L, LUA_GCCOLLECT, 0);
}

static inline void fixture_collect_again(lua_State *L) {
  lua_gc(L, LUA_GCSETPAUSE, 200);
  lua_gc(L, LUA_GCCOLLECT, 0);
}

static inline void fixture_begin(struct fixture *fixture, uint64_t time_ms, uint64_t memory) {
  memset(fixture, 0, sizeof *fixture);
  log_init(&fixture->log, &fixture->clock, 2);
  fixture->log.level = LOG_OFF;
  assert_int_equal(0, loop_init(&fixture->loop, &fixture->clock, NULL));
  fixture->pipes = (struct flow_shared){.loop = &fixture->loop, .bytes = fixture->bytes, .size = sizeof fixture->bytes};
  fixture->place = (struct script_place){
      .loop = &fixture->loop, .pipes = &fixture->pipes, .log = &fixture->log, .number = 1, .count = 2};
  script_place_init(&fixture->place);
  fixture->state = fixture_state(fixture, time_ms, memory);
  script_state_attach(fixture->state, &fixture->place);
}

static inline void fixture_end(struct fixture *fixture) {
  if (fixture->state != NULL) {
    script_state_stop(fixture->state);
    script_state_unref(fixture->state);
  }
  script_place_deinit(&fixture->place);
  loop_deinit(&fixture->loop);
}

/* For cmocka: a fixture of its own for each test. */
static inline int fixture_new(void **context, uint64_t time_ms, uint64_t memory) {
  *context = malloc(sizeof(struct fixture));
  assert_non_null(*context);
  fixture_begin(*context, time_ms, memory);
  return 0;
}

static inline int fixture_free(void **context) {
  fixture_end(*context);
  free(*context);
  return 0;
}

static inline void on_task_ended(void *context, enum task_end end, lua_State *coroutine) {
  struct outcome *outcome = context;
  assert_false(outcome->over);
  outcome->over = true;
  outcome->end = end;
  int index = end == TASK_RETURNED ? 1 : -1;
  const char *text = lua_gettop(coroutine) > 0 ? lua_tostring(coroutine, index) : NULL;
  if (lua_gettop(coroutine) > 0 && lua_isboolean(coroutine, index))
    text = lua_toboolean(coroutine, index) ? "true" : "false";
  snprintf(outcome->text, sizeof outcome->text, "%s", text != NULL ? text : "nil");
}

struct fixture_task {
  struct fixture *fixture;
  const char *code;
  struct outcome *outcome;
  int (*push)(struct fixture *fixture, lua_State *L);
  struct script_task *task;
  struct error error;
};

static inline int fixture_prepare(lua_State *L) {
  struct fixture_task *wanted = lua_touserdata(L, 1);
  struct script_state *state = wanted->fixture->state;
  const char *code = wanted->code;
  if (script_load_text(state, L, code, strlen(code), "@test.lua", &wanted->error) != 0)
    return 0;
  int arguments = wanted->push != NULL ? wanted->push(wanted->fixture, L) : 0;
  wanted->task = task_new(state, L, arguments, on_task_ended, wanted->outcome);
  return 0;
}

/* Begins `code` as a task, with what `push` (or NULL) puts behind the function as its arguments. */
static inline struct script_task *fixture_start(struct fixture *fixture, const char *code, struct outcome *outcome,
                                                int (*push)(struct fixture *fixture, lua_State *L)) {
  struct fixture_task wanted = {fixture, code, outcome, push, NULL, {0}};
  memset(outcome, 0, sizeof *outcome);
  int status = script_protect(fixture->state, fixture_prepare, &wanted);
  if (wanted.task == NULL)
    fail_msg("not begun (%d): %s %s", status, wanted.error.place, wanted.error.message);
  task_start(wanted.task);
  return wanted.task;
}

static inline void fixture_wait(struct fixture *fixture, const struct outcome *outcome) {
  while (!outcome->over)
    loop_round(&fixture->loop, true);
  loop_round(&fixture->loop, false); /* frees the task, and with it what it held */
}

static inline void fixture_run(struct fixture *fixture, const char *code, struct outcome *outcome,
                               int (*push)(struct fixture *fixture, lua_State *L)) {
  fixture_start(fixture, code, outcome, push);
  fixture_wait(fixture, outcome);
}

/* Runs `code`, which returns what `expected` says. */
static inline void fixture_expect(struct fixture *fixture, const char *code, const char *expected) {
  struct outcome outcome;
  fixture_run(fixture, code, &outcome, NULL);
  if (outcome.end != TASK_RETURNED)
    fail_msg("%s\nfailed: %s", code, outcome.text);
  assert_string_equal(expected, outcome.text);
}
