/* SPDX-License-Identifier: MIT
 *
 * What print and io.write do in user states (lua/moongate/printing.lua): while moongate carries traffic nobody waits
 * for who reads standard output or standard error; a command waits as any program does. */
#include "bindings/bind_moongate.h"
#include "script/shared.h"
#include "script/state.h"
#include "script/worker_script.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TELL_EVERY_MS = 60 * 1000 };

static void tell_loss(const struct script_state *state, struct printer *printer, const char *stream) {
  const struct log *log = script_state_log(state);
  if (log == NULL || !printer_report_is_due(printer, TELL_EVERY_MS))
    return;
  LOG(log, LOG_WARN, "what scripts print is lost: nobody takes it in time", LOG_STRING("stream", stream),
      LOG_INTEGER("lost", atomic_load_explicit(&printer->lost, memory_order_relaxed)));
}

/* core.write(fd, text), of standard output and standard error: true, or nil, a message and a number, as files do. */
int core_write(lua_State *L) {
  const struct script_state *state = script_state_of(L);
  bool is_error = luaL_checkinteger(L, 1) == STDERR_FILENO;
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  struct printer *printer =
      state->options.shared != NULL ? script_shared_printer(state->options.shared, is_error) : NULL;
  bool written;
  if (printer != NULL)
    written = printer_write(printer, text, size);
  else
    written = fwrite(text, 1, size, is_error ? stderr : stdout) == size;
  int error = errno;
  if (written) {
    lua_pushboolean(L, true);
    return 1;
  }
  if (printer != NULL)
    tell_loss(state, printer, is_error ? "stderr" : "stdout");
  lua_pushnil(L);
  lua_pushstring(L, strerror(error));
  lua_pushinteger(L, error);
  return 3;
}
