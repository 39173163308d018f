/* SPDX-License-Identifier: MIT
 *
 * Tasks: coroutines that may wait on the event loop of their thread. A waiting call validates its arguments, arms what
 * will wake it, registers how that is cancelled, and yields; the event resumes it with the results. Coroutines that a
 * task makes itself may wait as well: lua/moongate/sandbox.lua passes what they yield then on to the task. */
#pragma once

#include "core/list.h"
#include "core/loop.h"
#include "script/state.h"

#include <lua.h>

/* How a task ended. */
enum task_end {
  TASK_RETURNED,
  TASK_RAISED,
  TASK_STOPPED,   /* by the watchdog */
  TASK_CANCELLED, /* by task_cancel() */
  TASK_LEFT,      /* by task_leave() */
};

/* The task is over and its coroutine still holds what it returned, from index 1 on (TASK_RETURNED), or as its top the
 * message with the traceback (TASK_RAISED, TASK_STOPPED; logged by who has the context; no string without memory).
 * Called once, last thing, outside of Lua; reading values of the coroutine is all that may be done with it. */
typedef void task_ended_fn(void *context, enum task_end end, lua_State *coroutine);

/* What a task waits for. Embedded in what wakes it (a timer, a socket, a dial), in memory that is not Lua's: between
 * arming and the task's yield, Lua may run out of memory and go on, and collects what the waiting coroutine held. The
 * wait is cancelled then when the task waits anew or ends, before any event. What is only used by the event may be
 * Lua's, as long as the stack has it. */
struct script_wait {
  /* The task goes: disarm, so that nothing resumes it. Set by task_wait(), cleared when it is resumed. */
  void (*cancel)(struct script_wait *wait);
  struct script_task *task; /* NULL: nobody waits */
};

/* Embedded in what wants to know when a task is over, however it ends, also by task_cancel(quiet) and with its state.
 */
struct task_watch {
  void (*on_over)(struct task_watch *watch, enum task_end end); /* before on_ended; no Lua may run in it */
};

struct script_task {
  struct script_state *state; /* one reference */
  lua_State *coroutine;
  int reference;                    /* in the registry */
  struct script_task *next, **link; /* in state->tasks, until it is freed */
  struct script_wait *wait;         /* NULL while it runs */
  task_ended_fn *on_ended;
  void *context;
  void *run; /* struct script_run (worker_script.h) that it works for; NULL outside of connections. Given on to what it
                spawns */
  struct list_node family;  /* in the run's tasks */
  struct script_wait sleep; /* moongate.sleep */
  struct wheel_timer timer; /* … and its timer */
  struct deferred starting; /* task_start_soon(), and sleep(0) */
  struct deferred reap;
  int results;              /* of what it waited for, when it is put off to the next round (in `starting`) */
  unsigned turns;           /* waiting calls since it was resumed that did not have to wait */
  struct task_watch *watch; /* NULL mostly */
  bool over, leaving, doomed, starved;
  bool joined; /* somebody waits for it, and is told of its failure */
};

/* Makes a task of the function and its `arguments` on top of `from` (popped), without running it. It is the state's
 * own: whoever keeps the pointer learns from on_ended when to forget it. Within Lua (script_protect() or a C function)
 * it raises when out of Lua memory; NULL without memory of our own (popped too). */
struct script_task *task_new(struct script_state *state, lua_State *from, int arguments, task_ended_fn *on_ended,
                             void *context);

/* Runs it until it waits or ends; may call on_ended before returning. Not from within a task of the same state. */
void task_start(struct script_task *task);

/* The same; in the next round when this one is late already. */
void task_start_in_turn(struct script_task *task);

/* Runs it in this round's deferred work, or when that is late, in the next one's. */
void task_start_soon(struct script_task *task);

/* The task that runs; raises when there is none. For calls that perhaps wait; begins each of them. */
struct script_task *task_enter(lua_State *L);

/* The task that may wait here; raises when there is none: "can't wait here: …". Before anything is armed. */
struct script_task *task_check(lua_State *L);

/* Raises `message` with the line of the user's code that called, be it by way of the library. */
int task_raise(lua_State *L, const char *message);

/* In a waiting call, after task_check(): `return task_wait(L, &thing->wait, on_cancel);`. All that is on the stack of
 * `L` stays alive while it waits. */
int task_wait(lua_State *L, struct script_wait *wait, void (*cancel)(struct script_wait *wait));

/* What the wait is part of goes, or ends otherwise: cancels it as if the task went. For a wait whose task does not
 * stand in it, because the coroutine that began it could not hand on that it waits. Nothing when nobody waits. */
void task_disarm(struct script_wait *wait);

/* The task that waits for `from` waits for `to` instead. */
void task_wait_instead(struct script_wait *from, struct script_wait *to, void (*cancel)(struct script_wait *wait));

/* Ends the wait and hands the `results` on top of the waiting task's coroutine to it: push them on
 * wait->task->coroutine with calls that allocate nothing (numbers, booleans, nil), then task_resume(wait, n). Last
 * thing in an event; the task may free anything that is its own, deferred. In a round that is late already the task
 * goes on in the next. */
void task_resume(struct script_wait *wait, int results);

/* The same for results that allocate: `push` pushes them on `L`, protected, and returns how many. Without memory the
 * task ends with that error. */
typedef int task_push_fn(lua_State *L, void *context);
void task_resume_with(struct script_wait *wait, task_push_fn *push, void *context);

/* A waiting call that need not wait asks whether it should all the same, because the task has had a long turn and
 * others wait for theirs. */
bool task_has_had_its_turn(struct script_task *task);

/* In a C function, after task_check(): `return task_leave(L);` ends the task here, as TASK_LEFT. */
int task_leave(lua_State *L);

/* Ends the task wherever it waits; its coroutine never runs again, its on_ended is called with TASK_CANCELLED unless
 * `quiet`. A task that runs right now ends when it waits next. */
void task_cancel(struct script_task *task, bool quiet);

/* Ends, quietly, a task of task_start_soon() that has not begun; else false, and nothing happens. */
bool task_cancel_start(struct script_task *task);

/* Ends the wait of a task of a trusted state by an error, raised where it waits: `message` (copied) with
 * the place in front. False, and nothing happens, when it does not wait, or when the state is watched. Not from within
 * a task of the same state. */
bool task_interrupt(struct script_task *task, const char *message);

/* The task that runs on `L` now, or NULL. */
struct script_task *task_running(lua_State *L);

/* Pushes what a waiting call yields first, for lua/moongate/sandbox.lua. */
void task_push_sentinel(lua_State *L);

/* A C function, likewise for it: raises when the coroutine that runs can't hand a wait on (scheduler.c). */
int task_check_passing(lua_State *L);
