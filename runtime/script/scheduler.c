/* SPDX-License-Identifier: MIT
 *
 * Resuming, waiting, ending. A task that waits has yielded the sentinel, and whatever its waiting call had on its stack
 * stays there as yielded values, so that nothing it needs is collected. Memory that runs out outside of a coroutine
 * would end the process, hence the protected pushes. */
#include "script/scheduler.h"
#include "script/state_private.h"
#include "script/worker_script.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MOST_TURNS = 100,
  LATE_MS = 8,
  MOST_LEVELS = 100, /* of the stack that are looked at for a line: each costs more than the one before */
};

/* What a wait yields: an address that user code never gets hold of. */
static const char wait_sentinel;

static void *sentinel(void) { return (void *)(uintptr_t)&wait_sentinel; }

/* moongate.core.waiting, for the coroutine functions of lua/moongate/sandbox.lua. */
void task_push_sentinel(lua_State *L) { lua_pushlightuserdata(L, sentinel()); }

static void on_reap(struct deferred *deferred) {
  task_free((struct script_task *)(void *)((char *)deferred - offsetof(struct script_task, reap)));
}

static void unlink_task(struct script_task *task) {
  *task->link = task->next;
  if (task->next != NULL)
    task->next->link = task->link;
}

static void drop_wait(struct script_task *task) {
  struct script_wait *wait = task->wait;
  if (wait == NULL)
    return;
  task->wait = NULL;
  wait->task = NULL;
  if (wait->cancel != NULL)
    wait->cancel(wait);
}

void task_disarm(struct script_wait *wait) {
  if (wait->task != NULL)
    drop_wait(wait->task);
}

static void tell_watch(struct script_task *task, enum task_end end) {
  struct task_watch *watch = task->watch;
  task->watch = NULL;
  if (watch != NULL)
    watch->on_over(watch, end);
}

void task_free(struct script_task *task) {
  struct script_state *state = task->state;
  assert(state->running != task);
  task->over = true;
  tell_watch(task, TASK_CANCELLED);
  drop_wait(task);
  if (state->place != NULL) {
    loop_undefer(state->place->loop, &task->reap);
    loop_undefer(state->place->loop, &task->starting);
  }
  list_remove(&task->family);
  unlink_task(task);
  luaL_unref(state->L, LUA_REGISTRYINDEX, task->reference);
  if (task->starved || state->memory_was_tight || script_state_is_tight(state)) {
    script_state_relieve(state); /* of what it had got hold of: the next may need some before any hook runs */
    state->memory_was_tight = false;
  }
  state->memory_used -= sizeof *task;
  free(task);
  script_state_unref(state);
}

static struct script_task *task_of_starting(struct deferred *deferred) {
  return (struct script_task *)(void *)((char *)deferred - offsetof(struct script_task, starting));
}

/* Each task may run for limits.script_time, and a round has many: once a round is late, the next of them runs in the
 * round after it, when the events of the others have had their turn. One in each does run. */
static bool is_put_off(struct script_task *task) {
  struct script_place *place = task->state->place;
  clock_ms began = loop_now(place->loop);
  if (place->ran_in == began && clock_coarse(place->loop->clock) - began > LATE_MS) {
    loop_defer(place->loop, &task->starting);
    return true;
  }
  place->ran_in = began;
  return false;
}

static void on_starting(struct deferred *deferred) { task_start_in_turn(task_of_starting(deferred)); }

struct script_task *task_new(struct script_state *state, lua_State *from, int arguments, task_ended_fn *on_ended,
                             void *context) {
  assert(state->place != NULL);
  int first = lua_gettop(from) - arguments;
  lua_State *coroutine = lua_newthread(from);
  lua_insert(from, first);
  if (!lua_checkstack(coroutine, arguments + LUA_MINSTACK))
    luaL_error(from, "too many arguments");
  lua_xmove(from, coroutine, arguments + 1);
  int reference = script_ref(from);
  struct script_task *task = calloc(1, sizeof *task);
  if (task == NULL) {
    luaL_unref(from, LUA_REGISTRYINDEX, reference);
    return NULL;
  }
  task->state = state;
  state->memory_used += sizeof *task;
  state->references++;
  task->coroutine = coroutine;
  task->reference = reference;
  task->on_ended = on_ended;
  task->context = context;
  task->reap.run = on_reap;
  task->starting.run = on_starting;
  list_init(&task->family);
  task->next = state->tasks;
  task->link = &state->tasks;
  if (task->next != NULL)
    task->next->link = &task->next;
  state->tasks = task;
  return task;
}

static void end_task(struct script_task *task, enum task_end end) {
  assert(!task->over);
  task->over = true;
  drop_wait(task); /* of a coroutine of its own that it left waiting */
  list_remove(&task->family);
  tell_watch(task, end);
  loop_undefer(task->state->place->loop, &task->starting);
  loop_defer(task->state->place->loop, &task->reap);
  if (task->on_ended != NULL)
    task->on_ended(task->context, end, task->coroutine);
}

struct failure {
  struct script_task *task;
  const char *message; /* NULL: what is on top of the coroutine */
  bool traceback;
};

/* On the main coroutine: makes the message, and moves it to the top of the task's. */
static int make_message(lua_State *L) {
  struct failure *failure = lua_touserdata(L, 1);
  lua_State *coroutine = failure->task->coroutine;
  if (failure->message != NULL)
    lua_pushstring(L, failure->message);
  else if (lua_gettop(coroutine) > 0)
    lua_xmove(coroutine, L, 1);
  else
    lua_pushnil(L);
  if (failure->traceback)
    script_add_traceback(L, coroutine);
  lua_settop(coroutine, 0);
  lua_xmove(L, coroutine, 1);
  return 0;
}

/* The task has failed; sees to it that a string is on top of its coroutine. */
static void fail_task(struct script_task *task, enum task_end end, const char *message, bool traceback) {
  struct script_state *state = task->state;
  struct failure failure = {task, message, traceback};
  script_watch_begin(state); /* the error's own __tostring may run */
  int status = script_protect(state, make_message, &failure);
  if (script_watch_end(state)) {
    end = TASK_STOPPED;
    failure = (struct failure){task, script_watch_report(state), false};
    status = script_protect(state, make_message, &failure);
  }
  if (status != 0) {
    bool raised = status != -ENOMEM;
    failure =
        (struct failure){task, raised ? "(the error's own __tostring raised an error)" : "not enough memory", raised};
    if (script_protect(state, make_message, &failure) != 0)
      lua_settop(task->coroutine, 0);
  }
  end_task(task, end);
}

static void fail_without_memory(struct script_task *task) {
  struct script_state *state = task->state;
  char text[128];
  snprintf(text, sizeof text, "not enough memory: this file's state may hold limits.script_memory (%llu bytes)",
           (unsigned long long)state->options.memory);
  task->starved = true;
  script_state_relieve(state);
  /* What filled the state is still on the dead coroutine: the message and its traceback have to fit beside it. */
  state->options.memory += SCRIPT_MEMORY_SLACK;
  fail_task(task, TASK_RAISED, text, true);
  state->options.memory -= SCRIPT_MEMORY_SLACK;
}

/* Resumes with the `arguments` on top of the coroutine, and sees what has become of it. */
static void run_task(struct script_task *task, int arguments) {
  struct script_state *state = task->state;
  assert(state->running == NULL && !task->over);
  task->turns = 0;
  state->running = task;
  state->lifted = 0;
  script_worker_enter(task);
  script_watch_begin(state);
  int status = lua_resume(task->coroutine, arguments);
  bool stopped = script_watch_end(state);
  script_worker_leave(state);
  state->running = NULL;
  if (stopped) {
    task->starved = state->options.memory != 0 && state->memory_used > state->options.memory / 2;
    fail_task(task, TASK_STOPPED, script_watch_report(state), false);
  } else if (task->doomed) {
    end_task(task, TASK_CANCELLED);
  } else if (status == 0) {
    end_task(task, TASK_RETURNED);
  } else if (status == LUA_ERRMEM) {
    fail_without_memory(task);
  } else if (status != LUA_YIELD) {
    fail_task(task, TASK_RAISED, NULL, true);
  } else if (lua_touserdata(task->coroutine, 1) != sentinel() || (task->wait == NULL && !task->leaving)) {
    fail_task(task, TASK_RAISED,
              "coroutine.yield was called outside of a coroutine of your own: nobody would resume it", true);
  } else if (task->leaving) {
    end_task(task, TASK_LEFT);
  }
}

void task_start(struct script_task *task) { run_task(task, lua_gettop(task->coroutine) - 1); }

void task_start_in_turn(struct script_task *task) {
  if (!is_put_off(task))
    task_start(task);
}

void task_start_soon(struct script_task *task) { loop_defer(task->state->place->loop, &task->starting); }

static bool push_line_of(lua_State *L, bool of_user) {
  lua_Debug place;
  if (script_stack_is_full(L))
    return false;
  for (int level = 0; level < MOST_LEVELS && lua_getstack(L, level, &place); level++) {
    lua_getinfo(L, "Sl", &place);
    if (place.currentline > 0 && (!of_user || strncmp(place.short_src, "moongate/", 9) != 0)) {
      lua_pushfstring(L, "%s:%d: ", place.short_src, place.currentline);
      return true;
    }
  }
  return false;
}

/* The user's line that waits, rather than the library's, which stands in moongate/; as perhaps the user's files do. */
static void push_where(lua_State *L) {
  if (!push_line_of(L, true) && !push_line_of(L, false))
    lua_pushliteral(L, "");
}

int task_raise(lua_State *L, const char *message) {
  push_where(L);
  lua_pushstring(L, message);
  lua_concat(L, 2);
  return lua_error(L);
}

/* moongate.core.check_passing, for the same: raises when the coroutine that resumed another can't hand on that it
 * waits. What the other has armed must not outlast it, then. */
int task_check_passing(lua_State *L) {
  struct script_task *task = task_running(L);
  if (task == NULL || lua_isyieldable(L))
    return 0;
  drop_wait(task);
  task->leaving = false;
  return task_raise(L, "can't wait here: the coroutine that waits was resumed within a function that C calls (the "
                       "callback of string.gsub or table.sort, a metamethod, an iterator), and Lua can't be suspended "
                       "there");
}

struct script_task *task_running(lua_State *L) {
  return script_state_of(L)->running;
}

struct script_task *task_enter(lua_State *L) {
  struct script_state *state = script_state_of(L);
  if (state->place == NULL)
    task_raise(L, "can't wait here: a file is being loaded; wait in a handler or another function of a route");
  if (state->running == NULL)
    task_raise(L, "can't wait here: this is not a task of the event loop");
  drop_wait(state->running); /* begun in a coroutine of the task's own that others than we resumed */
  return state->running;
}

struct script_task *task_check(lua_State *L) {
  struct script_task *task = task_enter(L);
  if (!lua_isyieldable(L))
    task_raise(L, "can't wait here: within a function that C calls (the callback of string.gsub or table.sort, a "
                  "metamethod, an iterator), Lua can't be suspended");
  return task;
}

int task_wait(lua_State *L, struct script_wait *wait, void (*cancel)(struct script_wait *wait)) {
  struct script_task *task = task_running(L);
  assert(task != NULL && task->wait == NULL && wait->task == NULL);
  wait->task = task;
  wait->cancel = cancel;
  task->wait = wait;
  lua_pushlightuserdata(L, sentinel());
  lua_insert(L, 1);
  return lua_yield(L, lua_gettop(L));
}

void task_wait_instead(struct script_wait *from, struct script_wait *to, void (*cancel)(struct script_wait *wait)) {
  struct script_task *task = from->task;
  assert(task != NULL && task->wait == from && to->task == NULL);
  from->task = NULL;
  to->task = task;
  to->cancel = cancel;
  task->wait = to;
}

int task_leave(lua_State *L) {
  struct script_task *task = task_running(L);
  assert(task != NULL && task->wait == NULL);
  task->leaving = true;
  lua_pushlightuserdata(L, sentinel());
  return lua_yield(L, 1);
}

bool task_has_had_its_turn(struct script_task *task) {
  return ++task->turns >= MOST_TURNS || script_watch_is_late(task->state);
}

static struct script_task *end_wait(struct script_wait *wait) {
  struct script_task *task = wait->task;
  assert(task != NULL && task->wait == wait);
  task->wait = NULL;
  wait->task = NULL;
  return task;
}

/* After a wait. Another task may have resumed the coroutine meanwhile (coroutine.running() gives it away), and driven
 * it to its end: there is nothing on it then that could go on. */
static void run_on(struct script_task *task, int results) {
  if (lua_status(task->coroutine) == LUA_YIELD)
    run_task(task, results);
  else
    fail_task(task, TASK_RAISED, "its coroutine was resumed by another task, and is over", false);
}

static void on_put_off(struct deferred *deferred) {
  struct script_task *task = task_of_starting(deferred);
  if (!is_put_off(task))
    run_on(task, task->results);
}

/* The results stand above what was yielded, which is of no more use. */
static void keep_top(struct script_task *task, int results) {
  lua_State *coroutine = task->coroutine;
  int first = lua_gettop(coroutine) - results + 1;
  for (int i = 0; first > 1 && i < results; i++) {
    lua_pushvalue(coroutine, first + i);
    lua_replace(coroutine, 1 + i);
  }
  lua_settop(coroutine, results);
}

static void resume_with_top(struct script_task *task, int results) {
  keep_top(task, results);
  task->results = results;
  task->starting.run = on_put_off;
  if (!is_put_off(task))
    run_on(task, results);
}

void task_resume(struct script_wait *wait, int results) { resume_with_top(end_wait(wait), results); }

struct push {
  struct script_task *task;
  task_push_fn *push;
  void *context;
  int results;
};

static int push_results(lua_State *L) {
  struct push *push = lua_touserdata(L, 1);
  lua_settop(L, 0);
  push->results = push->push(L, push->context);
  if (!lua_checkstack(push->task->coroutine, push->results + LUA_MINSTACK))
    return luaL_error(L, "too many results");
  lua_xmove(L, push->task->coroutine, push->results);
  return 0;
}

void task_resume_with(struct script_wait *wait, task_push_fn *push_fn, void *context) {
  struct push push = {wait->task, push_fn, context, 0};
  int status = script_protect(push.task->state, push_results, &push);
  struct script_task *task = end_wait(wait);
  if (status == 0)
    resume_with_top(task, push.results);
  else
    fail_without_memory(task);
}

/* At the first instruction behind the call that waited. */
static void on_interrupted(lua_State *L, lua_Debug *unused) {
  (void)unused;
  struct script_state *state = script_state_of(L);
  lua_sethook(L, NULL, 0, 0);
  push_where(L);
  lua_pushstring(L, state->interruption);
  lua_concat(L, 2);
  lua_error(L);
}

bool task_interrupt(struct script_task *task, const char *message) {
  struct script_state *state = task->state;
  char *copy = task->over || task->wait == NULL || !state->options.trusted ? NULL : strdup(message);
  if (copy == NULL)
    return false;
  free(state->interruption);
  state->interruption = copy;
  drop_wait(task);
  lua_sethook(state->L, on_interrupted, LUA_MASKCOUNT, 1);
  keep_top(task, 0);
  run_task(task, 0);
  return true;
}

void task_cancel(struct script_task *task, bool quiet) {
  if (task->over)
    return;
  if (quiet)
    task->on_ended = NULL;
  if (task->state->running == task)
    task->doomed = true;
  else
    end_task(task, TASK_CANCELLED);
}

bool task_cancel_start(struct script_task *task) {
  if (task->starting.link == NULL || task->starting.run != on_starting)
    return false;
  task_cancel(task, true);
  return true;
}
