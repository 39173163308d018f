/* SPDX-License-Identifier: MIT
 *
 * A worker's Lua side as a whole: which versions of files run on it, and its end. */
#include "script/worker_script.h"
#include "connection/connection.h"

#include <errno.h>
#include <stdlib.h>

int script_worker_new(struct worker *worker, struct error *error) {
  struct script_worker *script = calloc(1, sizeof *script);
  if (script == NULL)
    return error_set(error, ENOMEM, "worker %u: no memory", worker->number);
  script->worker = worker;
  script->place = (struct script_place){
      .loop = &worker->loop,
      .dialer = &worker->dialer,
      .pipes = &worker->pipes,
      .log = worker->log,
      .worker = worker,
      .number = worker->number,
      .count = worker->count,
  };
  script_place_init(&script->place);
  worker->script = script;
  return 0;
}

static bool is_among(const struct script_version *version, struct script_version *const *versions, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (versions[i] == version)
      return true;
  return false;
}

static void let_go(struct script_worker *script, struct script_version *version) {
  script_version_retire(version, script->worker->number);
  script_version_unref(version);
}

int script_worker_adopt(struct worker *worker, const struct route_table *table) {
  struct script_worker *script = worker->script;
  struct script_version **versions = calloc(table->script_count + 1, sizeof *versions);
  if (versions == NULL)
    return -ENOMEM;
  for (size_t i = 0; i < table->script_count; i++) {
    versions[i] = script_version_ref(table->scripts[i]);
    struct script_state *state = script_version_state(versions[i], worker->number);
    if (state != NULL && state->place == NULL)
      script_state_attach(state, &script->place);
  }
  for (size_t i = 0; i < script->version_count; i++) {
    if (is_among(script->versions[i], versions, table->script_count))
      script_version_unref(script->versions[i]);
    else
      let_go(script, script->versions[i]);
  }
  free(script->versions);
  script->versions = versions;
  script->version_count = table->script_count;
  return 0;
}

void script_worker_free(struct script_worker *script) {
  if (script == NULL)
    return;
  struct worker *worker = script->worker;
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    if (connection->script != NULL)
      script_worker_hooks.cancel(connection);
  }
  for (size_t i = 0; i < script->version_count; i++)
    let_go(script, script->versions[i]);
  free(script->versions);
  script_place_deinit(&script->place);
  worker->script = NULL;
  free(script);
}
