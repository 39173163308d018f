/* SPDX-License-Identifier: MIT
 *
 * What a new state has in it: Lua's own libraries, as many as its kind may have, and the search for modules that
 * `require` is made of: the embedded library, then C modules of this folder, then the user's modules, then LuaSocket's.
 * What user code may not reach is taken away, and the rest of the sandbox set up, by lua/moongate/sandbox.lua. At the
 * end stands the table by which script/ reaches all that. */
#include "bindings/bind_context.h"
#include "bindings/bind_http.h"
#include "bindings/bind_moongate.h"
#include "bindings/embedded.h"
#include "core/text_file.h"
#include "luasocket/bind_mime.h"
#include "luasocket/socket.h"
#include "patterns/patterns.h"
#include "script/arguments.h"
#include "script/parts.h"
#include "script/state.h"

#include <errno.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096, PIECE_SIZE = 4096 };

/* C modules that `require` finds besides the Lua library. */
static const struct luaL_Reg natives[] = {
    {"moongate.http_parser", luaopen_moongate_http_parser},
    {"moongate.mime_core", luaopen_mime_core},
    {"moongate.pcre", luaopen_moongate_pcre},
};

/* Those of user states. jit and ffi are never opened there, and without jit nothing is ever compiled. */
static const struct luaL_Reg user_libraries[] = {
    {"", luaopen_base},
    {LUA_LOADLIBNAME, luaopen_package},
    {LUA_TABLIBNAME, luaopen_table},
    {LUA_IOLIBNAME, luaopen_io},
    {LUA_OSLIBNAME, luaopen_os},
    {LUA_STRLIBNAME, luaopen_string},
    {LUA_MATHLIBNAME, luaopen_math},
    {LUA_DBLIBNAME, luaopen_debug},
    {LUA_BITLIBNAME, luaopen_bit},
};

static void open_user_libraries(lua_State *L, bool jit) {
  for (size_t i = 0; i < sizeof user_libraries / sizeof user_libraries[0]; i++) {
    lua_pushcfunction(L, user_libraries[i].func);
    lua_pushstring(L, user_libraries[i].name);
    lua_call(L, 1, 0);
  }
  if (jit) {
    lua_pushcfunction(L, luaopen_jit);
    lua_pushstring(L, LUA_JITLIBNAME);
    lua_call(L, 1, 0);
  }
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | (jit ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
}

/* What a chunk is compiled from: the parser's work can grow with the square of a function's length. */
struct watched_text {
  const char *at;
  size_t left;
  bool is_over;
};

static const char *read_watched(lua_State *L, void *context, size_t *size) {
  struct watched_text *text = context;
  text->is_over = text->is_over || script_watch_is_over(L);
  *size = text->is_over ? 0 : text->left < PIECE_SIZE ? text->left : PIECE_SIZE;
  const char *piece = text->at;
  text->at += *size;
  text->left -= *size;
  return *size > 0 ? piece : NULL;
}

/* luaL_loadbufferx() of text, under the watchdog. */
static int load_watched(lua_State *L, const char *bytes, size_t size, const char *name) {
  struct watched_text text = {bytes, size, false};
  int status = lua_loadx(L, read_watched, &text, name, "t");
  return text.is_over ? script_watch_stop(L) : status;
}

/* core.compile(text, name): the function, or nil and what is wrong. The name may be nil: it is the text then. */
static int compile(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  if (load_watched(L, text, size, luaL_optstring(L, 2, text)) == 0)
    return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int push_piece(lua_State *L) {
  const struct text_piece *piece = lua_touserdata(L, 1);
  lua_pushlstring(L, piece->bytes, piece->size);
  return 1;
}

/* Pushes the contents of a regular file. 0, or a negative errno and nothing pushed. Raises without memory. */
static int push_module_text(lua_State *L, struct script_reader *reader, const char *path) {
  struct text_piece piece;
  char *own = NULL;
  int status = reader ? reader->read(reader, path, &piece.bytes, &piece.size)
                      : text_file_read(path, SCRIPT_MAX_MODULE, &own, &piece.size, NULL);
  if (status < 0)
    return status;
  if (own)
    piece.bytes = own;
  script_push_cleaner(L, push_piece);
  lua_pushlightuserdata(L, &piece);
  status = lua_pcall(L, 1, 1, 0);
  free(own);
  return status == 0 ? 0 : lua_error(L);
}

/* "a.b" as "a/b"; false for names that are no module's. */
static bool module_path(const char *name, char *path, size_t size) {
  size_t length = strlen(name);
  if (length == 0 || length >= size || name[0] == '.' || strstr(name, "..") != NULL || strpbrk(name, "/\\") != NULL)
    return false;
  for (size_t i = 0; i <= length; i++)
    path[i] = name[i] == '.' ? '/' : name[i];
  return true;
}

/* Pushes the chunk of `directory`/`module`.lua or …/init.lua, or returns false. Raises on errors in it. Messages name
 * it with the directory, unless it is the library's. */
static bool load_from(lua_State *L, const char *directory, const char *module, bool library) {
  for (int i = 0; i < 2; i++) {
    char path[PATH_SIZE], name[PATH_SIZE + 1], refused[TEXT_FILE_REFUSED_SIZE];
    name[0] = '@';
    int length = i == 0 ? snprintf(path, sizeof path, "%s/%s.lua", directory, module)
                        : snprintf(path, sizeof path, "%s/%s/init.lua", directory, module);
    if (length < 0 || (size_t)length >= sizeof path)
      continue;
    int status = push_module_text(L, library ? NULL : script_state_of(L)->reader, path);
    if (status == -ENOENT || status == -ENOTDIR || status == -EISDIR || status == -ENOTSUP)
      continue;
    if (status == -EACCES)
      luaL_error(L, "the module %s %s", path, text_file_refused(false, refused));
    if (status < 0)
      luaL_error(L, "the module %s can't be read: %s", path, strerror(-status));
    snprintf(name + 1, sizeof name - 1, "%s", path + (library ? strlen(directory) + 1 : 0));
    size_t size;
    const char *text = lua_tolstring(L, -1, &size);
    if (size > 0 && text[0] == '\x1b')
      luaL_error(L, "%s is bytecode, and only text is loaded: put the source there", path);
    if (load_watched(L, text, size, name) != 0)
      lua_error(L);
    lua_remove(L, -2);
    return true;
  }
  return false;
}

static bool load_embedded(lua_State *L, const char *name) {
  for (size_t i = 0; i < embedded_lua_count; i++) {
    if (strcmp(embedded_lua[i].name, name) != 0)
      continue;
    if (luaL_loadbufferx(L, (const char *)embedded_lua[i].bytes, embedded_lua[i].size, name, "b") != 0)
      lua_error(L);
    return true;
  }
  return false;
}

static bool is_of_library(const char *name) {
  return strncmp(name, "moongate", 8) == 0 && (name[8] == '\0' || name[8] == '.');
}

static bool load_library(lua_State *L, const struct script_state *state, const char *name) {
  char path[PATH_SIZE];
  if (!is_of_library(name) || !module_path(name, path, sizeof path))
    return false;
  if (state->options.library != NULL)
    return load_from(L, state->options.library, path, true);
  return load_embedded(L, name);
}

/* Opens one of `natives`, by its index. */
static int open_native(lua_State *L) {
  lua_pushcfunction(L, natives[lua_tointeger(L, lua_upvalueindex(1))].func);
  script_lift_limit(L);
  lua_call(L, 0, 1);
  script_restore_limit(L);
  return 1;
}

/* core.search(name): the module's chunk and "library", "native", "user", or "neighbour" (LuaSocket's, unless the user
 * has another one); nil when there is none. Raises on errors in it. */
static int search(lua_State *L) {
  const struct script_state *state = script_state_of(L);
  const char *name = argument_text(L, 1);
  char path[PATH_SIZE];
  if (name == NULL)
    return 0;
  if (load_library(L, state, name)) {
    lua_pushliteral(L, "library");
    return 2;
  }
  for (size_t i = 0; i < sizeof natives / sizeof natives[0]; i++) {
    if (strcmp(natives[i].name, name) == 0) {
      lua_pushinteger(L, (lua_Integer)i);
      lua_pushcclosure(L, open_native, 1);
      lua_pushliteral(L, "native");
      return 2;
    }
  }
  if (state->options.module_path != NULL && module_path(name, path, sizeof path) &&
      load_from(L, state->options.module_path, path, false)) {
    lua_pushliteral(L, "user");
    return 2;
  }
  if (!state->options.trusted && !is_of_library(name) && load_embedded(L, name)) {
    lua_pushliteral(L, "neighbour");
    return 2;
  }
  lua_pushnil(L);
  return 1;
}

int script_open_libraries(lua_State *L) {
  struct script_state *state = lua_touserdata(L, 1);
  lua_pushboolean(L, true); /* as `luajit -E` does: LUA_PATH and LUA_CPATH say nothing to us */
  lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  if (state->options.trusted)
    luaL_openlibs(L);
  else
    open_user_libraries(L, state->options.jit);
  if (!state->options.jit)
    script_open_patterns(L, state->options.trusted);
  if (!load_library(L, state, "moongate.sandbox"))
    return luaL_error(L, "the library has no moongate.sandbox: is MOONGATE_LUA set to the lua/ of another version?");
  lua_pushliteral(L, "moongate.sandbox");
  script_push_core(L);
  lua_pushcfunction(L, search);
  lua_setfield(L, -2, "search");
  lua_pushcfunction(L, compile);
  lua_setfield(L, -2, "compile");
  lua_pushboolean(L, state->options.trusted);
  lua_setfield(L, -2, "trusted");
  lua_pushboolean(L, state->options.jit);
  lua_setfield(L, -2, "compiled");
  lua_pushstring(L, state->options.module_path);
  lua_setfield(L, -2, "module_path");
  lua_pushnumber(L, state->options.open_files > 0 ? state->options.open_files : HUGE_VAL);
  lua_setfield(L, -2, "open_files");
  lua_call(L, 2, 0);
  return 0;
}

static const struct argument_names names[] = {{"moongate.", core_functions, false},
                                              {"socket:", socket_methods, true},
                                              {"context:", context_methods, true},
                                              {"dictionary:", shared_methods, true},
                                              {"timer:", timer_methods, true},
                                              {"task:", task_methods, true},
                                              {"moongate.metrics.", metrics_functions, false},
                                              {"counter:", counter_methods, true},
                                              {"gauge:", gauge_methods, true},
                                              {"histogram:", histogram_methods, true},
                                              {NULL, NULL, false}};

const struct script_parts script_parts = {
    .open_libraries = script_open_libraries,
    .start_timers = script_timers_start,
    .end_timers = script_timers_end,
    .end_unconnected = script_end_unconnected,
    .acts = script_state_acts,
    .let_sockets_go = script_sockets_let_go,
    .close_lingering = script_place_close_lingering,
    .names = names,
};
