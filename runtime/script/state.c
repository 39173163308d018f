/* SPDX-License-Identifier: MIT
 *
 * Making and closing states, counting their memory, and the guarded door. LuaJIT's own allocator does the work, so that
 * a state that is closed gives its memory back whole; ours stands in front of it, counts, refuses beyond the limit, and
 * is how a state is found from any of its coroutines. */
#include "script/state.h"
#include "core/clock.h"
#include "core/cpu_time.h"
#include "script/parts.h"
#include "script/shared.h"
#include "script/state_private.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

/* What a finalizer may make the stack grow by, at most: a coroutine's largest is twice as large. */
enum { FINALIZER_SLACK = 512 * 1024 };

/* As long as a collection in vain took, there is none. */
enum { VAIN_TIMES = 4 };

/* A block of which the watchdog is told. */
enum { LARGE = 1024 * 1024 };

/* Of Lua's stacks, in bytes; only an overflow takes one further. */
enum { LARGEST_STACK = LUAI_MAXSTACK * 8 };

/* Of a text that is compiled. */
enum { PIECE_SIZE = 4096, LEAST_COMPILE_MS = 1000 };

/* While it calls a finalizer LuaJIT has set its collector still. Without room on the stack it would forget the
 * finalizer, and a socket's descriptor with it. (A script that has stopped the collector is let have as much more.) */
static bool state_refuses(const struct script_state *state, size_t growth) {
  uint64_t limit = state->options.memory;
  if (limit == 0 || state->lifted > 0 || state->memory_used + growth <= limit)
    return false;
  return state->memory_used + growth > limit + FINALIZER_SLACK || lua_gc(state->L, LUA_GCISRUNNING, 0);
}

static void *state_allocate(void *context, void *block, size_t old_size, size_t new_size) {
  struct script_state *state = context;
  if (new_size > old_size) {
    if (state->watch.refusing && lua_gc(state->L, LUA_GCISRUNNING, 0)) /* not within a finalizer */
      return NULL;
    if (state_refuses(state, new_size - old_size)) {
      state->memory_refused = true;
      return NULL;
    }
    if (old_size >= LARGEST_STACK && script_watch_refuses_stack(state))
      return NULL;
    if (new_size - old_size >= LARGE)
      script_watch_soon(state);
  }
  void *result = state->allocate(state->allocator, block, old_size, new_size);
  if (result != NULL || new_size == 0)
    state->memory_used += new_size - old_size;
  return result;
}

struct script_state *script_state_of(lua_State *L) {
  void *state = NULL;
  lua_Alloc used = lua_getallocf(L, &state);
  assert(used == state_allocate);
  (void)used;
  return state;
}

struct script_state *script_state_if_any(lua_State *L) {
  void *state = NULL;
  return lua_getallocf(L, &state) == state_allocate ? state : NULL;
}

void script_lift_limit(lua_State *L) { script_state_of(L)->lifted++; }

void script_restore_limit(lua_State *L) { script_state_of(L)->lifted--; }

bool script_collect_for(lua_State *L, bool (*has_room)(lua_State *L)) {
  struct script_state *state = script_state_of(L);
  uint64_t began = clock_real_ns();
  if (began < state->vain_until_ns)
    return false;
  bool helped = false;
  for (int i = 0; i < 2 && !helped; i++) { /* of a weak table what a key had is freed by the second */
    lua_gc(L, LUA_GCCOLLECT, 0);
    helped = has_room(L);
  }
  uint64_t ended = clock_real_ns();
  state->vain_until_ns = helped ? 0 : ended + VAIN_TIMES * (ended - began);
  return helped;
}

int script_ref(lua_State *L) {
  script_lift_limit(L);
  int reference = luaL_ref(L, LUA_REGISTRYINDEX);
  script_restore_limit(L);
  return reference;
}

void script_push_cleaner(lua_State *L, lua_CFunction function) {
  script_lift_limit(L);
  lua_pushcfunction(L, function);
  script_restore_limit(L);
}

void script_push_kept_table(lua_State *L, const void *key) {
  void *address = (void *)(uintptr_t)key;
  lua_pushlightuserdata(L, address);
  lua_rawget(L, LUA_REGISTRYINDEX);
  if (!lua_isnil(L, -1))
    return;
  lua_pop(L, 1);
  script_lift_limit(L);
  lua_newtable(L);
  lua_pushlightuserdata(L, address);
  lua_pushvalue(L, -2); /* table, key, table */
  lua_rawset(L, LUA_REGISTRYINDEX);
  script_restore_limit(L);
}

bool script_stack_is_full(lua_State *L) {
  lua_Debug place;
  return lua_getstack(L, 0, &place) && place.i_ci >= LUAI_MAXSTACK - LUA_MINSTACK;
}

static void push_as_text(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER)
    return;
  if (luaL_callmeta(L, -1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) {
    lua_replace(L, -2);
    return;
  }
  script_describe_error(L);
}

void script_add_traceback(lua_State *L, lua_State *from) {
  push_as_text(L);
  luaL_traceback(L, from, lua_tostring(L, -1), L == from ? 1 : 0);
  lua_replace(L, -2);
}

static int on_error(lua_State *L) {
  lua_settop(L, 1);
  script_add_traceback(L, L);
  return 1;
}

/* LuaJIT's coroutine.resume makes its messages in the middle of writing its results, where a lack of memory would break
 * the stack. Kept, they are found and not made. */
static void keep_messages(lua_State *L) {
  lua_pushliteral(L, "cannot resume dead coroutine");
  luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushliteral(L, "cannot resume running coroutine");
  luaL_ref(L, LUA_REGISTRYINDEX);
}

static int set_up(lua_State *L) {
  struct script_state *state = lua_touserdata(L, 1);
  keep_messages(L);
  lua_pushcfunction(L, on_error);
  state->on_error = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, script_parts.open_libraries);
  lua_pushlightuserdata(L, state);
  lua_call(L, 1, 0);
  return 0;
}

static char *state_copy_string(const char *string) { return string != NULL ? strdup(string) : NULL; }

static void state_free(struct script_state *state) {
  list_remove(&state->node);
  if (state->L != NULL) {
    state->options.memory = 0;
    /* Only so does it take its memory back whole, the heap itself included. */
    if (state->allocate != NULL)
      lua_setallocf(state->L, state->allocate, state->allocator);
    lua_close(state->L);
    script_parts.let_sockets_go(state);
  }
  script_shared_unref(state->options.shared);
  free(state->watch.report);
  free(state->interruption);
  free((char *)(uintptr_t)state->options.library);
  free((char *)(uintptr_t)state->options.module_path);
  free(state);
}

struct script_state *script_state_new(const struct script_options *options, struct error *error) {
  struct script_state *state = calloc(1, sizeof *state);
  if (state == NULL) {
    error_set(error, ENOMEM, "no memory for a Lua state");
    return NULL;
  }
  state->references = 1;
  list_init(&state->node);
  list_init(&state->timers);
  list_init(&state->sockets);
  state->options = *options;
  if (options->shared != NULL)
    script_shared_ref(options->shared);
  state->options.library = state_copy_string(options->library);
  state->options.module_path = state_copy_string(options->module_path);
  script_secure_strings();
  state->L = luaL_newstate();
  if ((options->library != NULL && state->options.library == NULL) ||
      (options->module_path != NULL && state->options.module_path == NULL) || state->L == NULL) {
    error_set(error, ENOMEM, "no memory for a Lua state");
    goto fail;
  }
  state->memory_used = (size_t)lua_gc(state->L, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(state->L, LUA_GCCOUNTB, 0);
  state->memory_relief = (size_t)(options->memory - options->memory / 4);
  state->allocate = lua_getallocf(state->L, &state->allocator);
  lua_setallocf(state->L, state_allocate, state);
  if (lua_cpcall(state->L, set_up, state) != 0) {
    const char *message = lua_tostring(state->L, -1);
    error_set(error, state->memory_refused ? ENOMEM : EINVAL, "a Lua state can't be set up: %s",
              message != NULL ? message : "unknown error");
    goto fail;
  }
  lua_settop(state->L, 0);
  script_watch_arm(state);
  return state;
fail:
  state_free(state);
  return NULL;
}

struct script_shared *script_state_shared(struct script_state *state) {
  if (state->options.shared == NULL)
    state->options.shared = script_shared_new();
  return state->options.shared;
}

void script_state_attach(struct script_state *state, struct script_place *place) {
  assert(state->place == NULL);
  state->place = place;
  list_add_tail(&place->states, &state->node);
}

void script_place_init(struct script_place *place) {
  list_init(&place->states);
  list_init(&place->lingering);
  tls_context_cache_init(&place->tls);
}

void script_place_deinit(struct script_place *place) {
  LIST_FOREACH(node, &place->states) {
    struct script_state *state = LIST_OWNER(node, struct script_state, node);
    state->references++;
    list_remove(&state->node);
    script_state_stop(state);
    if (state->references > 1) /* NOLINT(clang-analyzer-unix.Malloc): one of them is ours */
      state->place = NULL;
    script_state_unref(state);
  }
  script_parts.close_lingering(place);
  tls_context_cache_deinit(&place->tls);
}

void script_state_stop(struct script_state *state) {
  assert(state->running == NULL);
  state->references++;
  script_parts.end_timers(state);
  while (state->tasks != NULL)
    task_free(state->tasks);
  script_state_unref(state);
}

void script_state_unref(struct script_state *state) {
  assert(state->references > 0);
  if (--state->references > 0)
    return;
  struct script_version *retired_from = state->retired_from;
  void (*on_gone)(struct script_version *) = state->on_gone;
  state_free(state);
  if (retired_from != NULL)
    on_gone(retired_from);
}

bool script_state_is_tight(const struct script_state *state) {
  return state->options.memory != 0 && state->memory_used > state->memory_relief;
}

static size_t least_relief(const struct script_state *state) {
  return (size_t)(state->options.memory - state->options.memory / 4);
}

static void renew_relief(struct script_state *state) {
  size_t least = least_relief(state);
  size_t left = state->options.memory > state->memory_used ? (size_t)state->options.memory - state->memory_used : 0;
  state->memory_relief = state->memory_used + left / 2;
  if (state->memory_relief < least)
    state->memory_relief = least;
}

void script_collect(struct script_state *state, lua_State *L) {
  /* Until a task is freed: what it holds may be all that there is, and is garbage only then. */
  state->memory_was_tight = state->memory_was_tight || state->running != NULL;
  lua_gc(L, LUA_GCCOLLECT, 0);
  if (state->memory_used > least_relief(state)) /* what dead keys of weak tables had is freed by a second one */
    lua_gc(L, LUA_GCCOLLECT, 0);
  renew_relief(state);
}

static int state_collect(lua_State *L) {
  script_collect(script_state_of(L), L);
  return 0;
}

void script_state_relieve(struct script_state *state) {
  int top = lua_gettop(state->L);
  state->options.memory += SCRIPT_MEMORY_SLACK; /* a protected call needs some itself */
  lua_cpcall(state->L, state_collect, NULL);
  state->options.memory -= SCRIPT_MEMORY_SLACK;
  renew_relief(state); /* by the limit that holds */
  lua_settop(state->L, top);
  state->memory_refused = false;
}

static int describe_failure(struct script_state *state, lua_State *L, int status, bool stopped, struct error *error) {
  if (stopped)
    return error_set(error, ETIME, "%s", script_watch_report(state));
  if (status == LUA_ERRMEM) {
    state->memory_refused = false;
    return error_set(error, ENOMEM, "not enough memory: limits.script_memory is %llu bytes",
                     (unsigned long long)state->options.memory);
  }
  const char *message = lua_tostring(L, -1);
  return error_set(error, EINVAL, "%s", message != NULL ? message : "unknown error");
}

int script_call(struct script_state *state, lua_State *L, int arguments, int results, struct error *error) {
  int function = lua_gettop(L) - arguments;
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->on_error);
  lua_insert(L, function);
  script_watch_begin(state);
  int status = lua_pcall(L, arguments, results, function);
  bool stopped = script_watch_end(state);
  lua_remove(L, function);
  if (status == 0 && !stopped)
    return 0;
  if (status == 0) { /* what it returned after it had been stopped does not count */
    lua_settop(L, function - 1);
    lua_pushnil(L);
  }
  int result = describe_failure(state, L, status, stopped, error);
  if (status == LUA_ERRMEM)
    script_state_relieve(state);
  return result != 0 ? result : -EINVAL;
}

int script_protect(struct script_state *state, lua_CFunction function, void *context) {
  int top = lua_gettop(state->L);
  int status = lua_cpcall(state->L, function, context);
  lua_settop(state->L, top);
  if (status == LUA_ERRMEM)
    script_state_relieve(state);
  return status == 0 ? 0 : status == LUA_ERRMEM ? -ENOMEM : -EINVAL;
}

/* "routes/site.lua:3: '=' expected near 'x'" is a place and a message. */
static int split_syntax_error(const char *message, struct error *error) {
  const char *colon = strchr(message, ':');
  const char *end = colon;
  if (colon != NULL)
    for (end = colon + 1; *end >= '0' && *end <= '9'; end++)
      ;
  if (colon == NULL || end == colon + 1 || strncmp(end, ": ", 2) != 0)
    return error_set(error, EINVAL, "%s", message);
  error_set(error, EINVAL, "%s", end + 2);
  error_set_place(error, "%.*s", (int)(end - message), message);
  return -EINVAL;
}

/* What is compiled, a piece at a time: the thread gives way between them. The parser's work can grow with the square of
 * a function's length, so it is bounded: by what the thread has run, for a large file on a busy machine is no fault. */
struct paced_text {
  struct pace *pace;
  const char *at;
  size_t left;
  uint64_t until_ns; /* by cpu_time_ran() */
  bool is_over;
};

static uint64_t compile_most_ms(const struct script_state *state) {
  return state->options.time_ms > LEAST_COMPILE_MS ? state->options.time_ms : LEAST_COMPILE_MS;
}

static const char *read_paced(lua_State *L, void *context, size_t *size) {
  (void)L;
  struct paced_text *text = context;
  pace_breathe(text->pace);
  text->is_over = text->is_over || cpu_time_ran() >= text->until_ns;
  if (text->is_over)
    return NULL;
  const char *piece = text->at;
  *size = text->left < PIECE_SIZE ? text->left : PIECE_SIZE;
  text->at += *size;
  text->left -= *size;
  return *size > 0 ? piece : NULL;
}

int script_load_text(struct script_state *state, lua_State *L, const char *text, size_t size, const char *chunk_name,
                     struct error *error) {
  uint64_t most_ms = compile_most_ms(state);
  struct paced_text paced = {.pace = state->pace, .at = text, .left = size, .until_ns = UINT64_MAX};
  if (state->options.time_ms > 0)
    paced.until_ns = cpu_time_ran() + most_ms * 1000000;
  int status = lua_loadx(L, read_paced, &paced, chunk_name, "t");
  if (status == 0 && !paced.is_over)
    return 0;
  int result = -EINVAL;
  if (paced.is_over)
    result = error_set(error, ETIME,
                       "takes longer than limits.script_time (a second at least; here %gs) to compile: very long "
                       "expressions and chains of elseif do; make them in a loop, or put them into several functions",
                       (double)most_ms / 1000);
  else if (status == LUA_ERRMEM)
    result = describe_failure(state, L, status, false, error);
  else if (size > 0 && text[0] == '\x1b')
    result = error_set(error, EINVAL, "this is bytecode, and only text is loaded: put the source there");
  else
    result = split_syntax_error(lua_tostring(L, -1), error);
  lua_pop(L, 1);
  return result;
}
