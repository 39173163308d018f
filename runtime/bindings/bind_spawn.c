/* SPDX-License-Identifier: MIT
 *
 * moongate.spawn, and what it returns: a handle by which others wait for the function's results, or end it. */
#include "bindings/bind_moongate.h"
#include "script/arguments.h"
#include "script/scheduler.h"
#include "script/state.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct spawned {
  struct task_watch watch;
  struct script_task *task; /* NULL once it is over */
  int self;                 /* in the registry, as long as there is a task */
  lua_State *coroutine;     /* kept by the environment, { coroutine }: it holds what the function returned */
  struct list_node joining; /* who waits */
  enum task_end end;
};

struct joining {
  struct script_wait wait;
  struct deferred deferred;
  struct list_node node;
  struct spawned *spawned; /* the waiting coroutine keeps it, and before it is over, the registry */
  bool is_over;
  struct loop *loop;
};

static const char metatable_name[] = "moongate.task";

/* Who joins it is told of what it raised; what the watchdog has stopped is always reported. */
static void on_spawned_ended(void *context, enum task_end end, lua_State *coroutine) {
  const struct script_task *task = context;
  if (end != TASK_STOPPED && (end != TASK_RAISED || task->joined))
    return;
  if (task->run != NULL)
    script_report_failure(task->run, "a spawned function failed", coroutine);
  else
    script_report_unconnected(task->state, "a spawned function failed", coroutine);
}

/* The joined ones learn of it in this round's deferred work: here no Lua may run. */
static void on_over(struct task_watch *watch, enum task_end end) {
  struct spawned *spawned = (struct spawned *)(void *)((char *)watch - offsetof(struct spawned, watch));
  luaL_unref(spawned->task->state->L, LUA_REGISTRYINDEX, spawned->self);
  spawned->end = end;
  spawned->task = NULL;
  LIST_FOREACH(node, &spawned->joining) {
    struct joining *joining = LIST_OWNER(node, struct joining, node);
    list_remove(&joining->node);
    joining->is_over = true;
    loop_defer(joining->loop, &joining->deferred);
  }
}

/* nil and what was raised, without the traceback. */
static int push_task_error(lua_State *L, const struct spawned *spawned) {
  lua_pushnil(L);
  if (spawned->end == TASK_CANCELLED || spawned->end == TASK_LEFT) {
    lua_pushliteral(L, "cancelled");
    return 2;
  }
  const char *message = lua_gettop(spawned->coroutine) > 0 ? lua_tostring(spawned->coroutine, -1) : NULL;
  const char *end = message != NULL ? strstr(message, "\nstack traceback:") : NULL;
  if (end != NULL)
    lua_pushlstring(L, message, (size_t)(end - message));
  else
    lua_pushstring(L, message != NULL ? message : "not enough memory");
  return 2;
}

/* Copies, since it may be joined again. */
static int push_task_outcome(lua_State *L, const struct spawned *spawned) {
  if (spawned->end != TASK_RETURNED)
    return push_task_error(L, spawned);
  int count = lua_gettop(spawned->coroutine);
  if (!lua_checkstack(spawned->coroutine, count + 1))
    return luaL_error(L, "too many results");
  luaL_checkstack(L, count + 1, "too many results");
  for (int i = 1; i <= count; i++)
    lua_pushvalue(spawned->coroutine, i);
  lua_xmove(spawned->coroutine, L, count);
  return count;
}

static int push_joined(lua_State *L, void *context) {
  return push_task_outcome(L, ((struct joining *)context)->spawned);
}

static void on_joined(struct deferred *deferred) {
  struct joining *joining = (struct joining *)(void *)((char *)deferred - offsetof(struct joining, deferred));
  task_resume_with(&joining->wait, push_joined, joining);
  free(joining);
}

static void on_join_cancel(struct script_wait *wait) {
  struct joining *joining = (struct joining *)(void *)((char *)wait - offsetof(struct joining, wait));
  loop_undefer(joining->loop, &joining->deferred);
  if (!joining->is_over) {
    list_remove(&joining->node);
    if (list_is_empty(&joining->spawned->joining))
      joining->spawned->task->joined = false;
  }
  free(joining);
}

static struct spawned *check_spawned(lua_State *L) {
  struct spawned *spawned = lua_touserdata(L, 1);
  bool is_one = spawned != NULL && lua_getmetatable(L, 1);
  if (is_one) {
    luaL_getmetatable(L, metatable_name);
    is_one = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  argument_check(L, is_one, 1, "what moongate.spawn returned");
  return spawned;
}

static int task_join(lua_State *L) {
  struct spawned *spawned = check_spawned(L);
  if (spawned->task == NULL)
    return push_task_outcome(L, spawned);
  struct script_task *task = task_check(L);
  if (task == spawned->task)
    return luaL_error(L, "a function can't join itself");
  lua_settop(L, 1);
  struct joining *joining = calloc(1, sizeof *joining);
  if (joining == NULL)
    return luaL_error(L, "out of memory");
  *joining = (struct joining){.spawned = spawned, .loop = task->state->place->loop, .deferred.run = on_joined};
  list_add_tail(&spawned->joining, &joining->node);
  spawned->task->joined = true;
  return task_wait(L, &joining->wait, on_join_cancel);
}

static int task_cancel_spawned(lua_State *L) {
  struct spawned *spawned = check_spawned(L);
  bool ran = spawned->task != NULL;
  if (ran)
    task_cancel(spawned->task, false);
  lua_pushboolean(L, ran);
  return 1;
}

const luaL_Reg task_methods[] = {{"join", task_join}, {"cancel", task_cancel_spawned}, {NULL, NULL}};

static struct spawned *push_spawned(lua_State *L) {
  struct spawned *spawned = lua_newuserdata(L, sizeof *spawned);
  *spawned = (struct spawned){.watch.on_over = on_over, .end = TASK_CANCELLED};
  list_init(&spawned->joining);
  script_push_methods(L, metatable_name, task_methods);
  lua_setmetatable(L, -2);
  return spawned;
}

/* It begins when the present task waits or ends. */
int core_spawn(lua_State *L) {
  argument_check(L, lua_isfunction(L, 1), 1, "a function");
  struct script_task *parent = task_enter(L);
  struct spawned *spawned = push_spawned(L);
  lua_insert(L, 1); /* handle, function, arguments */
  struct script_task *task = task_new(parent->state, L, lua_gettop(L) - 2, on_spawned_ended, NULL);
  if (task == NULL)
    return luaL_error(L, "out of memory");
  task->context = task;
  task->run = parent->run;
  if (parent->run != NULL)
    list_add_tail(&((struct script_run *)parent->run)->tasks, &task->family);
  task_start_soon(task);
  lua_createtable(L, 1, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, task->reference);
  lua_rawseti(L, -2, 1);
  lua_setfenv(L, 1);
  lua_pushvalue(L, 1);
  spawned->self = script_ref(L);
  spawned->task = task;
  spawned->coroutine = task->coroutine;
  task->watch = &spawned->watch;
  return 1;
}
