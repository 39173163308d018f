/* SPDX-License-Identifier: MIT
 *
 * Holding loaded versions, and reaching the functions in their states. The loader (load.h) makes them. */
#include "script/version.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

struct script_version *script_version_ref(struct script_version *version) {
  atomic_fetch_add_explicit(&version->references, 1, memory_order_relaxed);
  return version;
}

/* The functions are let go of; the state is not ours alone. */
static void give_back(const struct script_version *version, unsigned index) {
  struct script_state *state = version->states[index];
  for (size_t i = 0; i < version->function_count; i++)
    if (version->references_of[index][i] != 0) /* 0: loading ended before it was resolved */
      luaL_unref(state->L, LUA_REGISTRYINDEX, version->references_of[index][i]);
  version->states[index] = NULL;
  script_state_unref(state);
}

static void version_free(struct script_version *version) {
  for (unsigned i = 0; i < version->state_count; i++) {
    /* Only a version that never went live still has states here. */
    if (version->states != NULL && version->states[i] != NULL && version->is_borrowed)
      give_back(version, i);
    else if (version->states != NULL && version->states[i] != NULL)
      script_state_unref(version->states[i]);
    if (version->references_of != NULL)
      free(version->references_of[i]);
  }
  free(version->states);
  free(version->references_of);
  free(version->use_of);
  for (size_t i = 0; i < version->function_count; i++) {
    free(version->functions[i].route);
    free(version->functions[i].field);
  }
  free(version->functions);
  free(version->file);
  free(version->path);
  free(version);
}

void script_version_unref(struct script_version *version) {
  if (version != NULL && atomic_fetch_sub_explicit(&version->references, 1, memory_order_acq_rel) == 1)
    version_free(version);
}

struct script_state *script_version_state(const struct script_version *version, unsigned worker) {
  return worker >= 1 && worker <= version->state_count ? version->states[worker - 1] : NULL;
}

/* The state has been closed that was retired from it. */
static void on_version_state_gone(struct script_version *version) {
  atomic_fetch_sub_explicit(&version->living, 1, memory_order_release);
  script_version_unref(version);
}

void script_version_retire(struct script_version *version, unsigned worker) {
  struct script_state *state = script_version_state(version, worker);
  if (state == NULL)
    return;
  if (version->is_borrowed) {
    give_back(version, worker - 1);
    return;
  }
  version->states[worker - 1] = NULL;
  state->version = NULL;
  state->retired_from = script_version_ref(version);
  state->on_gone = on_version_state_gone;
  atomic_fetch_add_explicit(&version->living, 1, memory_order_relaxed);
  script_state_unref(state);
}

void script_version_push(struct script_version *version, unsigned worker, int slot, lua_State *L) {
  assert(slot >= 0 && (size_t)slot < version->function_count);
  lua_rawgeti(L, LUA_REGISTRYINDEX, version->references_of[worker - 1][slot]);
}
