/* SPDX-License-Identifier: MIT
 *
 * moongate.on_reload: keeping a state's functions, and calling them when a new configuration is live. They are tasks
 * without a connection, and end with the version of their file. */
#include "bindings/bind_moongate.h"
#include "script/arguments.h"
#include "script/scheduler.h"
#include "script/state.h"
#include "script/worker_script.h"

#include <lauxlib.h>

enum { MOST_FUNCTIONS = 100, MOST_RUNNING = 1000 };

/* In the registry: where the list of functions stands, once there is one. */
static const char list_key;

static void push_list(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&list_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

int core_on_reload(lua_State *L) {
  argument_check(L, lua_isfunction(L, 1), 1, "a function");
  script_push_kept_table(L, &list_key);
  size_t count = lua_objlen(L, -1);
  if (count >= MOST_FUNCTIONS)
    return luaL_error(L,
                      "moongate.on_reload: this file has registered %d functions already; register once, while the "
                      "file is loaded, not for each connection",
                      MOST_FUNCTIONS);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, (int)count + 1);
  return 0;
}

/* Each is logged: there are no more of them than functions that are registered, for each reload. */
static void report_announce_failure(const struct script_state *state, lua_State *L) {
  const char *message = lua_gettop(L) > 0 ? lua_tostring(L, -1) : NULL;
  script_count_unconnected(state);
  LOG(state->place->log, LOG_ERROR, "a function of moongate.on_reload failed",
      LOG_STRING("file", script_state_file(state)),
      LOG_STRING("error", message != NULL ? message : "not enough memory"));
}

static void on_announced(void *context, enum task_end end, lua_State *coroutine) {
  const struct script_task *task = context;
  if (end == TASK_RAISED || end == TASK_STOPPED)
    report_announce_failure(task->state, coroutine);
}

static void push_names(lua_State *L, const char *const *names, size_t count) {
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_pushstring(L, names[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void push_news(lua_State *L, const struct reload_news *news) {
  lua_createtable(L, 0, 3);
  lua_pushnumber(L, (lua_Number)news->generation);
  lua_setfield(L, -2, "generation");
  push_names(L, news->changed, news->changed_count);
  lua_setfield(L, -2, "changed");
  push_names(L, news->removed, news->removed_count);
  lua_setfield(L, -2, "removed");
}

/* How many calls of earlier news have not ended yet. */
static size_t count_running(const struct script_state *state) {
  size_t count = 0;
  for (const struct script_task *task = state->tasks; task != NULL; task = task->next)
    count += task->on_ended == on_announced && !task->over;
  return count;
}

struct announcement {
  struct script_state *state;
  const struct reload_news *news;
};

/* Runs protected. Each function gets a table of its own. */
static int announce_to_state(lua_State *L) {
  const struct announcement *announcement = lua_touserdata(L, 1);
  struct script_state *state = announcement->state;
  push_list(L);
  if (lua_isnil(L, -1))
    return 0;
  int list = lua_gettop(L), functions = (int)lua_objlen(L, list);
  if (count_running(state) + (size_t)functions > MOST_RUNNING)
    return luaL_error(L, "too many calls for earlier reloads have not returned yet: it is not called for this one");
  for (int i = 1; i <= functions; i++) {
    lua_rawgeti(L, list, i);
    push_news(L, announcement->news); /* list, function, news */
    struct script_task *task = task_new(state, L, 1, on_announced, NULL);
    if (task == NULL)
      return luaL_error(L, "not enough memory");
    task->context = task;
    task_start_soon(task);
  }
  return 0;
}

/* Looks without allocating: a protected call leaves garbage, and a state that is idle collects none. */
static bool wants_news(lua_State *L) {
  push_list(L);
  bool wants = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return wants;
}

static void announce_to(struct script_state *state, const struct reload_news *news) {
  struct announcement announcement = {state, news};
  lua_State *L = state->L;
  if (!wants_news(L))
    return;
  int top = lua_gettop(L), status = lua_cpcall(L, announce_to_state, &announcement);
  if (status != 0)
    report_announce_failure(state, L);
  lua_settop(L, top);
  if (status == LUA_ERRMEM)
    script_state_relieve(state);
}

void script_worker_announce(struct worker *worker, const struct reload_news *news) {
  const struct script_worker *script = worker->script;
  for (size_t i = 0; script != NULL && i < script->use_count; i++) {
    struct script_state *state = script_version_state(script->uses[i].version, worker->number);
    if (state != NULL && state->place != NULL)
      announce_to(state, news);
  }
}

void script_end_unconnected(struct script_state *state) {
  script_timers_end(state);
  for (struct script_task *task = state->tasks; task != NULL; task = task->next)
    if (task->run == NULL)
      task_cancel(task, true);
}

bool script_state_acts(struct script_state *state) { return !list_is_empty(&state->timers) || wants_news(state->L); }
