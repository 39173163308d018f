/* SPDX-License-Identifier: MIT
 *
 * The functions behind the table `moongate` (lua/moongate/init.lua), and what the library's own modules need from C:
 * time, sleeping, spawning, logging, the worker. Connecting is in bind_connect.c. */
#include "script/bind_moongate.h"
#include "connection/connection.h"
#include "core/log.h"
#include "script/arguments.h"
#include "script/scheduler.h"
#include "script/state_private.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_FIELDS = 16, KEY_SIZE = 32 };

static void on_sleep_cancel(struct script_wait *wait) {
  struct script_task *task = (struct script_task *)(void *)((char *)wait - offsetof(struct script_task, sleep));
  loop_cancel_timer(task->state->place->loop, &task->timer);
  loop_undefer(task->state->place->loop, &task->starting);
}

static void on_sleep_over(struct wheel_timer *timer) {
  struct script_task *task = (struct script_task *)(void *)((char *)timer - offsetof(struct script_task, timer));
  task_resume(&task->sleep, 0);
}

static void on_turn(struct deferred *deferred) {
  struct script_task *task = (struct script_task *)(void *)((char *)deferred - offsetof(struct script_task, starting));
  task_resume(&task->sleep, 0);
}

/* sleep(0) lets everything else have its turn first, what was spawned before included. */
static int core_sleep(lua_State *L) {
  uint64_t ms = argument_check_ms(L, 1);
  struct script_task *task = task_check(L);
  task->timer.on_expired = on_sleep_over;
  if (ms == 0) {
    task->starting.run = on_turn;
    loop_defer(task->state->place->loop, &task->starting);
  } else {
    loop_set_timer(task->state->place->loop, &task->timer, ms);
  }
  return task_wait(L, &task->sleep, on_sleep_cancel);
}

static const struct log *log_of(const struct script_state *state) {
  return state->place != NULL && state->place->log != NULL ? state->place->log : state->options.log;
}

/* A spawned task has nobody who waits for it: its failure is logged, and counted where it has a connection. */
static void on_spawned_ended(void *context, enum task_end end, lua_State *coroutine) {
  struct script_task *task = context;
  if (end != TASK_RAISED && end != TASK_STOPPED)
    return;
  if (task->run != NULL) {
    script_report_failure(task->run, "a spawned function failed", coroutine);
    return;
  }
  const char *message = lua_gettop(coroutine) > 0 ? lua_tostring(coroutine, -1) : NULL;
  const struct script_state *state = task->state;
  const struct script_version *version = state->version != NULL ? state->version : state->retired_from;
  LOG(log_of(state), LOG_ERROR, "a spawned function failed", LOG_STRING("file", version != NULL ? version->file : NULL),
      LOG_STRING("error", message != NULL ? message : "not enough memory"));
}

/* It begins when the present task waits or ends. */
static int core_spawn(lua_State *L) {
  argument_check(L, lua_isfunction(L, 1), 1, "a function");
  struct script_task *parent = task_enter(L);
  struct script_task *task = task_new(parent->state, L, lua_gettop(L) - 1, on_spawned_ended, NULL);
  if (task == NULL)
    return luaL_error(L, "out of memory");
  task->context = task;
  task->run = parent->run;
  if (parent->run != NULL)
    list_add_tail(&((struct script_run *)parent->run)->tasks, &task->family);
  task_start_soon(task);
  return 0;
}

static int core_now(lua_State *L) {
  const struct script_state *state = script_state_of(L);
  const struct log *log = log_of(state);
  if (state->place != NULL) {
    lua_pushnumber(L, clock_wall(state->place->loop->clock));
  } else if (log != NULL) {
    lua_pushnumber(L, clock_wall(log->clock));
  } else {
    lua_pushnumber(L, (lua_Number)time(NULL));
  }
  return 1;
}

static int core_worker(lua_State *L) {
  const struct script_place *place = script_state_of(L)->place;
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, place != NULL ? (lua_Integer)place->number : 0);
  lua_setfield(L, -2, "number");
  lua_pushinteger(L, place != NULL ? (lua_Integer)place->count : 0);
  lua_setfield(L, -2, "count");
  return 1;
}

/* Keys are written as they are: only what logfmt takes in one. */
static void copy_key(char key[KEY_SIZE], const char *text) {
  size_t i = 0;
  for (; text[i] != '\0' && i < KEY_SIZE - 1; i++) {
    char c = text[i];
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    key[i] = plain ? c : '_';
  }
  key[i] = '\0';
}

/* The fields of the table at `index`; texts that have to be made stay on the stack. */
static size_t read_fields(lua_State *L, int index, struct log_field *fields, char keys[][KEY_SIZE]) {
  size_t count = 0;
  luaL_checkstack(L, MOST_FIELDS + 4, "too many fields");
  lua_pushnil(L);
  while (count < MOST_FIELDS && lua_next(L, index) != 0) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      lua_pop(L, 1);
      continue;
    }
    copy_key(keys[count], lua_tostring(L, -2));
    if (lua_type(L, -1) == LUA_TNUMBER) {
      fields[count] = LOG_NUMBER(keys[count], lua_tonumber(L, -1));
      lua_pop(L, 1);
    } else {
      lua_getglobal(L, "tostring");
      lua_insert(L, -2);
      lua_call(L, 1, 1); /* key, text */
      fields[count] = LOG_STRING(keys[count], lua_tostring(L, -1));
      lua_insert(L, -2); /* text stays below the key */
    }
    count++;
  }
  return count;
}

static int core_log(lua_State *L) {
  static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
  enum log_level level = (enum log_level)luaL_checkoption(L, 1, NULL, levels);
  const char *message = luaL_checkstring(L, 2);
  const struct log *log = log_of(script_state_of(L));
  struct log_field fields[MOST_FIELDS];
  char keys[MOST_FIELDS][KEY_SIZE];
  size_t count = 0;
  lua_settop(L, 3);
  if (log == NULL || !log_enabled(log, level))
    return 0;
  if (!lua_isnil(L, 3)) {
    luaL_checktype(L, 3, LUA_TTABLE);
    count = read_fields(L, 3, fields, keys);
  }
  log_write(log, level, message, fields, count);
  return 0;
}

/* core.duration(value): seconds, or nil when it is no duration. */
static int core_duration(lua_State *L) {
  double seconds;
  luaL_checkany(L, 1);
  if (argument_duration(L, 1, &seconds))
    lua_pushnumber(L, seconds);
  else
    lua_pushnil(L);
  return 1;
}

const luaL_Reg core_functions[] = {
    {"connect", core_connect}, {"sleep", core_sleep}, {"spawn", core_spawn},       {"now", core_now},
    {"worker", core_worker},   {"log", core_log},     {"duration", core_duration}, {"on_reload", core_on_reload},
    {"resolve", core_resolve}, {NULL, NULL},
};

void script_push_core(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, core_functions);
  task_push_sentinel(L);
  lua_setfield(L, -2, "waiting");
  lua_pushliteral(L, MOONGATE_VERSION);
  lua_setfield(L, -2, "version");
}
