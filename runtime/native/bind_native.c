/* SPDX-License-Identifier: MIT
 *
 * The module "moongate.native": arguments from Lua, calls that wait, plain data to Lua; and tasks begun from C. */
#include "native/bind_native.h"

#include "loading/load.h"
#include "native/host.h"
#include "script/value_push.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct native_call {
  struct script_wait wait;
  bool waiting;  /* the task has yielded */
  bool answered; /* before it could */
  bool cancelled;
  struct value *value;
  native_answer_fn *on_answer; /* of a call that C makes; NULL */
  void *context;
  void (*on_cancel)(void *context); /* NULL: nobody is told */
  void *cancel_context;
};

const struct native_module *native_of(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

static int push_answer(lua_State *L, void *context) {
  const struct value *value = context;
  if (!value_is_whole(value))
    return luaL_error(L, "not enough memory for the answer");
  value_push_exactly(L, value);
  return 1;
}

static int push_answer_protected(lua_State *L) { return push_answer(L, lua_touserdata(L, 1)); }

int native_return(lua_State *L, struct value *value) {
  lua_pushcfunction(L, push_answer_protected);
  lua_pushlightuserdata(L, value);
  int status = lua_pcall(L, 1, 1, 0);
  value_free(value);
  return status == 0 ? 1 : lua_error(L);
}

static void on_native_call_cancel(struct script_wait *wait) {
  struct native_call *call = (struct native_call *)(void *)((char *)wait - offsetof(struct native_call, wait));
  call->cancelled = true;
  if (call->on_cancel)
    call->on_cancel(call->cancel_context);
}

void native_call_on_cancel(struct native_call *call, void (*on_cancel)(void *context), void *context) {
  call->on_cancel = on_cancel;
  call->cancel_context = context;
}

void native_call_answer(struct native_call *call, struct value *value) {
  assert(!call->answered);
  if (call->on_answer) {
    call->on_answer(call->context, value);
    free(call);
    return;
  }
  if (!call->waiting) {
    call->answered = true;
    call->value = value;
    return;
  }
  if (!call->cancelled)
    task_resume_with(&call->wait, push_answer, value);
  value_free(value);
  free(call);
}

struct native_call *native_call_new(native_answer_fn *on_answer, void *context) {
  struct native_call *call = calloc(1, sizeof *call);
  if (call) {
    call->on_answer = on_answer;
    call->context = context;
  }
  return call;
}

struct native_call *native_call_begin(lua_State *L) {
  task_check(L);
  struct native_call *call = calloc(1, sizeof *call);
  if (!call)
    luaL_error(L, "not enough memory");
  return call;
}

int native_call_finish(lua_State *L, struct native_call *call) {
  if (call->answered) {
    struct value *value = call->value;
    free(call);
    return native_return(L, value);
  }
  call->waiting = call->cancelled = true;
  task_check(L);
  call->cancelled = false;
  return task_wait(L, &call->wait, on_native_call_cancel);
}

static const char *text_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name); /* stays on the stack, so that the string stays */
  if (lua_isnil(L, -1))
    return NULL;
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "%s: expected a string, got %s", name, luaL_typename(L, -1));
  return lua_tostring(L, -1);
}

static void read_run_settings(lua_State *L, struct native_settings *settings) {
  *settings = (struct native_settings){.workers = 0};
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  settings->config = text_field(L, "config");
  settings->routes = text_field(L, "routes");
  settings->control = text_field(L, "control");
  settings->file = text_field(L, "file");
  lua_getfield(L, 1, "workers");
  double workers = luaL_optnumber(L, -1, 0);
  if (!(workers >= 0 && workers <= 65536) || floor(workers) != workers)
    luaL_error(L, "workers: expected a whole number, got %f", workers);
  settings->workers = (unsigned)workers;
  lua_getfield(L, 1, "strict");
  settings->strict = lua_toboolean(L, -1);
}

static int native_check(lua_State *L) {
  struct native_settings settings;
  read_run_settings(L, &settings);
  return native_return(L, native_of(L)->ops->check(native_of(L)->context, &settings));
}

static int native_run(lua_State *L) {
  struct native_settings settings;
  read_run_settings(L, &settings);
  struct native_call *call = native_call_begin(L);
  native_of(L)->ops->run(native_of(L)->context, &settings, call);
  return native_call_finish(L, call);
}

static int native_defaults(lua_State *L) {
  return native_return(L, native_of(L)->ops->defaults(native_of(L)->context));
}

enum { ARGUMENTS_DEEPEST = 3, ARGUMENTS_MOST = 100 };

/* The table on top: lists, and texts as keys; numbers, texts, flags and tables as values. NULL, or what is wrong. */
static const char *read_arguments(lua_State *L, struct value *into, unsigned depth) {
  size_t left = ARGUMENTS_MOST;
  if (depth > ARGUMENTS_DEEPEST || !lua_checkstack(L, 4))
    return "nested too deeply";
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL, *wrong = NULL;
    size_t length;
    if (left-- == 0)
      return "too much of it";
    if (lua_type(L, -1) == LUA_TNUMBER)
      value_set_number(into, key, lua_tonumber(L, -1));
    else if (lua_type(L, -1) == LUA_TBOOLEAN)
      value_set_boolean(into, key, lua_toboolean(L, -1));
    else if (lua_type(L, -1) == LUA_TTABLE)
      wrong = read_arguments(L, value_set_table(into, key), depth + 1);
    else if (lua_type(L, -1) != LUA_TSTRING || strlen(lua_tolstring(L, -1, &length)) != length)
      wrong = "neither number, text, flag nor table, or with a NUL";
    else
      value_set_string(into, key, lua_tostring(L, -1));
    if (wrong)
      return wrong;
  }
  return NULL;
}

static int native_ask(lua_State *L) {
  const struct native_module *native = native_of(L);
  const char *question = luaL_checkstring(L, 1);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_newtable(L);
    lua_replace(L, 2);
  }
  luaL_checktype(L, 2, LUA_TTABLE);
  if (!native->ops->ask)
    return native_raise_not_running(L);
  struct native_call *call = native_call_new(NULL, NULL);
  struct value *arguments = value_table();
  const char *wrong = call ? read_arguments(L, arguments, 0) : "not enough memory";
  if (wrong || !value_is_whole(arguments)) {
    value_free(arguments);
    free(call);
    return luaL_error(L, "%s", wrong ? wrong : "not enough memory");
  }
  native->ops->ask(native->context, question, arguments, call);
  value_free(arguments);
  return native_call_finish(L, call);
}

int native_raise_not_running(lua_State *L) { return luaL_error(L, "moongate is not running"); }

static int native_reload(lua_State *L) {
  const struct native_module *native = native_of(L);
  if (!native->ops->reload)
    return native_raise_not_running(L);
  struct native_call *call = native_call_begin(L);
  native->ops->reload(native->context, call);
  return native_call_finish(L, call);
}

static int native_drain(lua_State *L) {
  const struct native_module *native = native_of(L);
  double seconds = luaL_optnumber(L, 1, -1);
  luaL_argcheck(L, lua_isnoneornil(L, 1) || (seconds >= 0 && seconds <= 1e9), 1, "a duration expected");
  if (!native->ops->drain)
    return native_raise_not_running(L);
  struct native_call *call = native_call_begin(L);
  native->ops->drain(native->context, seconds < 0 ? -1 : (int64_t)(seconds * 1000 + 0.5), call);
  return native_call_finish(L, call);
}

/* The name goes into a path. */
static const char *native_check_file_name(lua_State *L, int index) {
  size_t length;
  const char *name = luaL_checklstring(L, index, &length);
  luaL_argcheck(L, strlen(name) == length && strchr(name, '/') == NULL && route_file_is_read(name), index,
                "the name of a route file expected");
  return name;
}

static int native_put_file(lua_State *L) {
  const struct native_module *native = native_of(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "name");
  lua_getfield(L, 1, "text"); /* options, name, text: they stay for as long as it waits */
  const char *name = native_check_file_name(L, 2);
  size_t size;
  const char *text = luaL_checklstring(L, 3, &size);
  if (!native->ops->put_file)
    return native_raise_not_running(L);
  struct native_call *call = native_call_begin(L);
  native->ops->put_file(native->context, name, text, size, call);
  return native_call_finish(L, call);
}

static int native_delete_file(lua_State *L) {
  const struct native_module *native = native_of(L);
  const char *name = native_check_file_name(L, 1);
  if (!native->ops->delete_file)
    return native_raise_not_running(L);
  struct native_call *call = native_call_begin(L);
  native->ops->delete_file(native->context, name, call);
  return native_call_finish(L, call);
}

static int native_keep_diagnosis(lua_State *L) {
  const struct native_module *native = native_of(L);
  size_t size, length;
  const char *trigger = luaL_checklstring(L, 1, &length), *text = luaL_checklstring(L, 2, &size);
  luaL_argcheck(L, length > 0 && strspn(trigger, "abcdefghijklmnopqrstuvwxyz") == length, 1, "a plain word expected");
  if (!native->ops->keep_diagnosis)
    return native_raise_not_running(L);
  lua_settop(L, 2); /* they stay for as long as it waits */
  struct native_call *call = native_call_begin(L);
  native->ops->keep_diagnosis(native->context, trigger, text, size, call);
  return native_call_finish(L, call);
}

static const struct luaL_Reg functions[] = {
    {"check", native_check},
    {"run", native_run},
    {"defaults", native_defaults},
    {"reload", native_reload},
    {"put_file", native_put_file},
    {"delete_file", native_delete_file},
    {"ask", native_ask},
    {"drain", native_drain},
    {"keep_diagnosis", native_keep_diagnosis},
    {"testing", native_testing},
    {NULL, NULL},
};

int native_host_init(struct script_host *host, const struct script_place *place, const struct script_options *options,
                     struct native_module *module, struct error *error) {
  return script_host_init(host, place, options, functions, module, error);
}

static void on_native_task_ended(void *context, enum task_end end, lua_State *coroutine) {
  struct native_task *task = context;
  bool has_number = end == TASK_RETURNED && lua_type(coroutine, 1) == LUA_TNUMBER;
  const char *message = NULL;
  if (end == TASK_RAISED || end == TASK_STOPPED) {
    message = lua_gettop(coroutine) > 0 ? lua_tostring(coroutine, -1) : NULL;
    message = message != NULL ? message : "not enough memory";
  }
  int status = has_number ? (int)lua_tointeger(coroutine, 1) : end == TASK_RETURNED || end == TASK_LEFT ? 0 : -1;
  task->on_ended(task, status, message);
}

static int push_words(lua_State *L, void *context) {
  const struct native_task *task = context;
  luaL_checkstack(L, (int)task->count + LUA_MINSTACK, "too many words");
  for (size_t i = 0; i < task->count; i++)
    lua_pushstring(L, task->words[i]);
  return (int)task->count;
}

int native_start_words(struct script_host *host, struct native_task *task, const char *module, const char *name,
                       size_t count, char *const *words, struct error *error) {
  task->count = count;
  task->words = words;
  return script_host_start(host, module, name, push_words, on_native_task_ended, task, error);
}

static int push_socket(lua_State *L, void *context) {
  struct native_task *task = context;
  if (script_push_socket(script_state_of(L), L, task->fd) != 0)
    return luaL_error(L, "no memory for a socket");
  task->fd = -1;
  lua_pushstring(L, task->word);
  return 2;
}

int native_start_socket(struct script_host *host, struct native_task *task, const char *module, const char *name,
                        int fd, const char *word, struct error *error) {
  task->fd = fd;
  task->word = word;
  int status = script_host_start(host, module, name, push_socket, on_native_task_ended, task, error);
  if (status != 0 && task->fd >= 0)
    close(task->fd);
  return status;
}
