/* SPDX-License-Identifier: MIT
 *
 * What a Lua state has besides Lua itself: libraries, sockets, timers. They stand in rooms above this one, which calls
 * them only through this table. */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

struct script_place;
struct script_state;

/* Functions of ours as messages name them: "socket:" and socket_methods. */
struct argument_names {
  const char *prefix;
  const luaL_Reg *functions;
  bool are_methods;
};

struct script_parts {
  /* The libraries, the sandbox of user states, `require`, and the global `moongate`. Runs protected; raises. The light
   * userdata at 1 is the state. */
  int (*open_libraries)(lua_State *L);
  /* Starts the timers that were made while its file was loaded; at the first call, once the state is attached. */
  void (*start_timers)(struct script_state *state);
  /* Ends all timers of the state, for good; a call that is under way goes on. */
  void (*end_timers)(struct script_state *state);
  /* Ends its timers, and the tasks that work for no connection: its version is replaced. */
  void (*end_unconnected)(struct script_state *state);
  /* Whether what it was loaded with does something of itself: timers, functions of moongate.on_reload. */
  bool (*acts)(struct script_state *state);
  /* Lets go of the sockets whose finalizer LuaJIT has lost: it does when there is no room to call it, as at the end of
   * its stack. The state is about to go. */
  void (*let_sockets_go)(struct script_state *state);
  /* Closes the sockets that linger. */
  void (*close_lingering)(struct script_place *place);
  const struct argument_names *names; /* the last one's prefix is NULL */
};

extern const struct script_parts script_parts; /* bindings/sandbox.c */
