/* SPDX-License-Identifier: MIT
 *
 * moongate.after and moongate.every. Timers belong to the version of their file: those that are made while it is loaded
 * begin when it goes live, all end when it is replaced. Each call is a task of its own, without a connection. */
#include "bindings/bind_moongate.h"
#include "script/arguments.h"
#include "script/scheduler.h"
#include "script/state.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stddef.h>
#include <string.h>

struct script_timer {
  struct wheel_timer wheel;
  struct list_node node; /* in state->timers; in none once it is over */
  struct script_state *state;
  struct script_task *task; /* the call that is under way */
  uint64_t ms;
  clock_ms due;
  int self; /* in the registry, as long as it is in the list. Its environment is { fn, argument, … } */
  int arguments;
  bool repeats, once;
};

static const char metatable_name[] = "moongate.timer";

static void timer_set(struct script_timer *timer, uint64_t ms) {
  struct loop *loop = timer->state->place->loop;
  timer->due = clock_now(loop->clock) + ms;
  loop_set_timer(loop, &timer->wheel, ms);
}

/* Nothing of the state refers to it any more; Lua frees it. */
static void timer_let_go(struct script_timer *timer) {
  if (list_is_empty(&timer->node))
    return;
  struct script_state *state = timer->state;
  if (state->place != NULL)
    loop_cancel_timer(state->place->loop, &timer->wheel);
  list_remove(&timer->node);
  state->timer_count--;
  luaL_unref(state->L, LUA_REGISTRYINDEX, timer->self);
  timer->self = LUA_NOREF;
}

/* A call is over, or could not be made: the next one is due a period after this one was, or now if that has passed. */
static void timer_go_on(struct script_timer *timer) {
  timer->task = NULL;
  if (list_is_empty(&timer->node))
    return;
  if (!timer->repeats) {
    timer_let_go(timer);
    return;
  }
  clock_ms now = clock_now(timer->state->place->loop->clock);
  clock_ms next = timer->due + timer->ms;
  timer_set(timer, next > now ? next - now : 1);
}

static void on_timer_call_ended(void *context, enum task_end end, lua_State *coroutine) {
  struct script_timer *timer = context;
  if (end == TASK_RAISED || end == TASK_STOPPED)
    script_report_unconnected(
        timer->state, end == TASK_STOPPED ? "a timer's function was stopped" : "a timer's function raised an error",
        coroutine);
  timer_go_on(timer);
}

/* Runs protected. */
static int timer_begin(lua_State *L) {
  struct script_timer *timer = lua_touserdata(L, 1);
  luaL_checkstack(L, timer->arguments + LUA_MINSTACK, "too many arguments");
  lua_rawgeti(L, LUA_REGISTRYINDEX, timer->self);
  lua_getfenv(L, -1);
  int values = lua_gettop(L);
  for (int i = 0; i <= timer->arguments; i++)
    lua_rawgeti(L, values, i + 1);
  timer->task = task_new(timer->state, L, timer->arguments, on_timer_call_ended, timer);
  if (timer->task != NULL)
    task_start_soon(timer->task);
  return 0;
}

static void on_timer_expired(struct wheel_timer *wheel) {
  struct script_timer *timer = (struct script_timer *)(void *)((char *)wheel - offsetof(struct script_timer, wheel));
  if (script_protect(timer->state, timer_begin, timer) == 0 && timer->task != NULL)
    return;
  script_report_unconnected(timer->state, "a timer's function could not be called", NULL);
  timer->due = clock_now(timer->state->place->loop->clock);
  timer_go_on(timer);
}

void script_timers_start(struct script_state *state) {
  if (state->timers_phase != TIMERS_LOADING)
    return;
  state->timers_phase = TIMERS_RUNNING;
  LIST_FOREACH(node, &state->timers) {
    struct script_timer *timer = LIST_OWNER(node, struct script_timer, node);
    if (timer->once && state->place->number > 1)
      timer_let_go(timer);
    else
      timer_set(timer, timer->ms);
  }
}

void script_timers_end(struct script_state *state) {
  state->timers_phase = TIMERS_ENDED;
  LIST_FOREACH(node, &state->timers) { timer_let_go(LIST_OWNER(node, struct script_timer, node)); }
}

static bool option_once(lua_State *L, int index) {
  static const char *const known[] = {"once", NULL};
  if (lua_isnoneornil(L, index))
    return false;
  argument_check(L, lua_istable(L, index), index, "a table of options");
  argument_check_options(L, index, known);
  lua_getfield(L, index, "once");
  bool once = lua_toboolean(L, -1);
  lua_pop(L, 1);
  const struct script_state *state = script_state_of(L);
  if (once && state->place != NULL && !state->options.trusted) /* a spec's state loads files while it runs */
    luaL_error(L, "moongate.every: once = true is for timers that are made while the file is loaded: a handler runs in "
                  "one worker anyway");
  return once;
}

/* nil and why, or 0. A file that asks for too many while it is loaded is at fault. */
static int timer_refuse(lua_State *L, const struct script_state *state) {
  const char *why = state->timers_phase == TIMERS_ENDED                                         ? "replaced"
                    : state->options.timers != 0 && state->timer_count >= state->options.timers ? "too many timers"
                                                                                                : NULL;
  if (why == NULL)
    return 0;
  if (state->place == NULL)
    return luaL_error(L, "too many timers: limits.timers is %d", (int)state->options.timers);
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

/* The function stands at 2, its arguments from `first` on. */
static int timer_make(lua_State *L, struct script_timer made, int first) {
  struct script_state *state = script_state_of(L);
  argument_check(L, lua_isfunction(L, 2), 2, "a function");
  int refused = timer_refuse(L, state);
  if (refused > 0)
    return refused;
  int top = lua_gettop(L);
  made.arguments = top >= first ? top - first + 1 : 0;
  struct script_timer *timer = lua_newuserdata(L, sizeof *timer);
  *timer = made;
  timer->state = state;
  timer->wheel.on_expired = on_timer_expired;
  list_init(&timer->node);
  script_push_methods(L, metatable_name, timer_methods);
  lua_setmetatable(L, -2);
  lua_createtable(L, made.arguments + 1, 0); /* …, timer, values */
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, 1);
  for (int i = 0; i < made.arguments; i++) {
    lua_pushvalue(L, first + i);
    lua_rawseti(L, -2, i + 2);
  }
  lua_setfenv(L, -2);
  lua_pushvalue(L, -1);
  timer->self = script_ref(L);
  list_add_tail(&state->timers, &timer->node);
  state->timer_count++;
  if (state->place != NULL)
    timer_set(timer, timer->ms);
  return 1;
}

int core_after(lua_State *L) {
  uint64_t ms = argument_check_ms(L, 1);
  return timer_make(L, (struct script_timer){.ms = ms}, 3);
}

int core_every(lua_State *L) {
  uint64_t ms = argument_check_ms(L, 1);
  if (ms == 0)
    return argument_error(L, 1, "a duration of 1ms or more expected");
  bool once = option_once(L, 3);
  return timer_make(L, (struct script_timer){.ms = ms, .repeats = true, .once = once}, 4);
}

static int timer_cancel(lua_State *L) {
  struct script_timer *timer = lua_touserdata(L, 1);
  bool is_one = timer != NULL && lua_getmetatable(L, 1);
  if (is_one) {
    luaL_getmetatable(L, metatable_name);
    is_one = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  argument_check(L, is_one, 1, "a timer");
  if (timer->task != NULL && task_cancel_start(timer->task))
    timer->task = NULL;
  bool was_set = !list_is_empty(&timer->node) && (timer->task == NULL || timer->repeats);
  timer->repeats = false;
  if (timer->task == NULL)
    timer_let_go(timer);
  lua_pushboolean(L, was_set);
  return 1;
}

const luaL_Reg timer_methods[] = {{"cancel", timer_cancel}, {NULL, NULL}};
