/* SPDX-License-Identifier: MIT
 *
 * The loader itself: its trusted state, and the user states that it makes. */
#include "script/load_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct loader *loader_new(const struct log *log, const char *library, struct error *error) {
  struct loader *loader = calloc(1, sizeof *loader);
  if (!loader || (library && !(loader->library = strdup(library)))) {
    error_set(error, ENOMEM, "not enough memory");
    goto fail;
  }
  loader->log = log;
  struct script_options options = {.trusted = true, .library = library, .log = log};
  loader->trusted = script_state_new(&options, error);
  if (!loader->trusted)
    goto fail;
  return loader;
fail:
  loader_free(loader);
  return NULL;
}

void loader_free(struct loader *loader) {
  if (!loader)
    return;
  if (loader->trusted)
    script_state_unref(loader->trusted);
  free(loader->library);
  free(loader);
}

struct script_state *loader_user_state(const struct loader *loader, const struct config *config,
                                       const char *module_path, bool jit, struct error *error) {
  struct script_options options = {
      .jit = jit,
      .time_ms = config->settings.script_time_ms,
      .memory = config->settings.script_memory,
      .library = loader->library,
      .module_path = module_path,
      .log = loader->log,
  };
  return script_state_new(&options, error);
}

int loader_push_check(const struct loader *loader, lua_State *L, const char *module, struct error *error) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  if (script_call(loader->trusted, L, 1, 1, error) < 0)
    return -EINVAL;
  lua_getfield(L, -1, "check");
  lua_remove(L, -2);
  return 0;
}
