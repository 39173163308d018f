/* SPDX-License-Identifier: MIT
 *
 * The watchdog: stops Lua code that runs too long without waiting, or nests too deep for the C stack. A count hook, set
 * once by the thread that made the state, looks at the clock and at the stack. Past the limit it raises at every
 * instruction, so that whatever pcall catches it is thrown out again at once, until the coroutine is dead. What it
 * raises is a failed allocation: the one error that calls no error handler, which could loop as well. Within a call
 * into C no hook runs: what can be long there asks script_watch_is_over() itself. Out of its reach: finalizers (LuaJIT
 * runs them without hooks; user states have none of their own), compiled code. */
#include "core/cpu_time.h"
#include "core/stack.h"
#include "script/scheduler.h"
#include "script/state.h"
#include "script/state_private.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  HOOK_INSTRUCTIONS = 100,
  NEAR_LOOKS = 100, /* at each instruction, once it has been slow */
  SLOW_NS = 8 * 1000 * 1000,
  LATE_NS = 8 * 1000 * 1000,
  MOST_FORGIVEN = 2,
};

/* Real running time, not the clock that a spec moves; coarse, because it is read every hundred instructions. */
static uint64_t running_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Whether a stretch has run too long. On a machine so busy that this thread hardly runs, time passes that is not the
 * script's fault: a script that had less than an eighth of a core in the second half of its time gets more, until it
 * has had as much, but at most as much time again. Others wait for it meanwhile, so that must stay the exception. */
static bool is_over(struct script_state *state, uint64_t now) {
  uint64_t limit = state->options.time_ms * 1000000u, deadline = state->watch.began_ns + limit;
  if (state->watch.thread_ns == 0) {
    state->watch.thread_ns = cpu_time_ran();
    state->watch.look_ns = deadline > now ? deadline : now + limit / 8;
    return false;
  }
  if (cpu_time_ran() - state->watch.thread_ns >= limit / 16 || now >= deadline + limit)
    return true;
  state->watch.look_ns = now + limit / 8;
  return false;
}

static void on_count(lua_State *L, lua_Debug *unused);

static void watchdog_refuse(struct script_state *state, lua_State *L) {
  lua_gc(L, LUA_GCRESTART, 0); /* the script may have stopped it, as LuaJIT does within a finalizer */
  state->watch.refusing = true;
  lua_newtable(L);
  /* Not reached: the allocator has refused. */
  state->watch.refusing = false;
}

static void format_limit(const struct script_state *state, char *text, size_t size) {
  if (state->options.time_ms % 1000 == 0)
    snprintf(text, size, "ran longer than limits.script_time (%llus) without waiting",
             (unsigned long long)(state->options.time_ms / 1000));
  else
    snprintf(text, size, "ran longer than limits.script_time (%llums) without waiting",
             (unsigned long long)state->options.time_ms);
}

static void take_report(struct script_state *state, lua_State *L) {
  char text[96];
  format_limit(state, text, sizeof text);
  free(state->watch.report);
  state->watch.report = NULL;
  if (script_stack_is_full(L)) {
    state->watch.report = strdup(text);
    return;
  }
  luaL_traceback(L, L, text, 0);
  state->watch.report = strdup(lua_tostring(L, -1));
  lua_pop(L, 1);
}

/* Between two looks there are microseconds. Where there was much more, and the thread neither ran nor waited for a
 * core, it was stopped with its process, and the script had no share in that; or it slept in a call into the kernel,
 * which it may do twice in a stretch without being charged. */
static void forgive_gap(struct script_state *state, uint64_t now) {
  uint64_t gap = now - state->watch.seen_ns;
  if (gap < state->options.time_ms * 1000000u / 8 || state->watch.forgiven == MOST_FORGIVEN)
    return;
  uint64_t lost = cpu_time_lost(now, gap);
  if (lost < gap / 2)
    return;
  state->watch.forgiven++;
  state->watch.began_ns += lost;
  state->watch.look_ns += lost;
}

/* Gives way where the thread does, and tells whether the stretch has lasted too long. */
static bool look_at_clock(struct script_state *state) {
  uint64_t slept = pace_breathe(state->pace);
  if (state->watch.stopping)
    return true;
  if (state->watch.look_ns == 0)
    return false;
  state->watch.look_ns += slept; /* it did not run meanwhile */
  state->watch.began_ns += slept;
  uint64_t now = running_clock();
  if (now - state->watch.seen_ns >= SLOW_NS) {
    state->watch.near = NEAR_LOOKS;
    forgive_gap(state, now);
  }
  state->watch.seen_ns = now;
  return now >= state->watch.look_ns && is_over(state, now);
}

/* After how many instructions it is looked again: usually a hundred. At each, when a hundred were slow, as they are
 * with strings of megabytes; and when something has to be raised until nothing catches it any more. */
static void set_interval(struct script_state *state, lua_State *L) {
  int interval = state->watch.stopping || state->watch.is_low || state->watch.near > 0 ? 1 : HOOK_INSTRUCTIONS;
  if (interval != state->watch.interval)
    lua_sethook(L, on_count, LUA_MASKCOUNT, interval);
  state->watch.interval = interval;
}

/* LuaJIT bounds Lua's stack, and not how deep coroutines within coroutines and callbacks of C functions take C's. As
 * long as there is little of it every instruction raises: what catches the error, or handles it, might nest on. */
static void look_at_stack(struct script_state *state, lua_State *L) {
  state->watch.is_low = stack_is_low();
  set_interval(state, L);
  if (state->watch.is_low)
    task_raise(L, "stack overflow: coroutines or callbacks within each other, too many of them");
}

void script_watch_check(lua_State *L) {
  struct script_state *state = script_state_of(L);
  state->watch.refusing = false;
  if (state->watch.near > 0)
    state->watch.near--;
  if (!state->watch.stopping && script_state_is_tight(state))
    script_collect(state, L);
  if (look_at_clock(state))
    script_watch_stop(L);
  look_at_stack(state, L);
}

static void on_count(lua_State *L, lua_Debug *unused) {
  (void)unused;
  script_watch_check(L);
}

static bool is_past_bound(const struct script_state *state) {
  uint64_t bounded = state->watch.bounded_ns, began = state->watch.began_ns;
  return running_clock() > (bounded > began ? bounded : began) + state->watch.bound_ms * 1000000u;
}

bool script_watch_is_over(lua_State *L) {
  struct script_state *state = script_state_of(L);
  return state->watch.bound_ms != 0 ? is_past_bound(state) : look_at_clock(state);
}

/* Once: the spec's runner catches it. What goes on all the same has as much time again. */
static int raise_bound(struct script_state *state, lua_State *L) {
  char text[96];
  double seconds = (double)state->watch.bound_ms / 1000;
  snprintf(text, sizeof text, "ran longer than %gs here without waiting (--timeout)", seconds);
  script_watch_bound(state, state->watch.bound_ms);
  return task_raise(L, text);
}

static void on_bound_count(lua_State *L, lua_Debug *unused) {
  (void)unused;
  struct script_state *state = script_state_of(L);
  if (state->watch.bound_ms != 0 && is_past_bound(state))
    raise_bound(state, L);
}

void script_watch_bound(struct script_state *state, uint64_t ms) {
  state->watch.bound_ms = ms;
  state->watch.bounded_ns = running_clock();
  lua_Hook present = lua_gethook(state->L);
  if (present == NULL || present == on_bound_count) /* else a spec's own, to measure what it covers */
    lua_sethook(state->L, on_bound_count, ms == 0 ? 0 : LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
}

static void begin_stopping(struct script_state *state) {
  state->watch.stopping = true;
  set_interval(state, state->L);
  free(state->watch.report);
  state->watch.report = NULL;
}

int script_watch_stop(lua_State *L) {
  struct script_state *state = script_state_of(L);
  if (state->watch.bound_ms != 0)
    return raise_bound(state, L);
  if (!state->watch.stopping) {
    begin_stopping(state);
    take_report(state, L);
  } else if (state->watch.report == NULL) {
    take_report(state, L);
  }
  watchdog_refuse(state, L);
  return 0;
}

static bool is_watched(const struct script_state *state) { return !state->options.trusted && !state->options.jit; }

void script_watch_arm(struct script_state *state) {
  if (is_watched(state))
    set_interval(state, state->L);
}

bool script_watch_refuses_stack(struct script_state *state) {
  if (!is_watched(state) || state->watch.depth == 0 || !look_at_clock(state))
    return false;
  if (!state->watch.stopping)
    begin_stopping(state);
  return true;
}

void script_watch_soon(struct script_state *state) {
  if (!is_watched(state) || state->watch.depth == 0)
    return;
  state->watch.near = NEAR_LOOKS;
  set_interval(state, state->L);
}

void script_watch_begin(struct script_state *state) {
  if (state->watch.depth++ > 0)
    return;
  uint64_t now = running_clock();
  state->watch.began_ns = now;
  state->watch.seen_ns = now;
  state->watch.thread_ns = 0;
  state->watch.forgiven = 0;
  if (state->options.time_ms == 0 || !is_watched(state))
    return;
  state->watch.look_ns = now + state->options.time_ms * 500000u;
  cpu_time_note(now);
}

bool script_watch_end(struct script_state *state) {
  bool stopped = state->watch.stopping;
  state->watch.refusing = false;
  if (--state->watch.depth > 0)
    return stopped;
  state->watch.look_ns = 0;
  state->watch.stopping = false;
  state->watch.is_low = false;
  stack_trim();
  script_watch_arm(state);
  return stopped;
}

bool script_watch_is_late(const struct script_state *state) {
  return running_clock() - state->watch.began_ns > LATE_NS;
}

const char *script_watch_report(const struct script_state *state) {
  return state->watch.report != NULL ? state->watch.report : "ran longer than limits.script_time without waiting";
}
